"""Where sessions live and what they may be called."""

from __future__ import annotations

import difflib
import importlib.resources
import os
import re
from collections.abc import Iterable
from pathlib import Path

from platformdirs import user_data_dir

from analysis.errors import InputError
from analysis.folders import NameTaken

EXAMPLE_PREFIX = "example:"
LIST_HINT = "`workbench sessions ls` lists them"

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")


def root(override: Path | None = None) -> Path:
    """The folder that holds one folder a session; it need not exist yet.

    Args:
        override: use this folder instead of the data folder of the user.
    """
    if override is not None:
        return override
    data = os.environ.get("WORKBENCH_DATA") or user_data_dir("workbench", appauthor=False)
    return Path(data).expanduser() / "sessions"


def examples_root() -> Path:
    """The folder of the recorded sessions that come with the program."""
    return Path(str(importlib.resources.files("sessions") / "examples"))


def checked_name(name: str) -> str:
    """The name itself, if it can be the name of a session's folder.

    Raises:
        InputError: it cannot; says what a name may hold.
    """
    if _NAME.fullmatch(name) is None:
        raise InputError(
            f"{name!r} cannot name a session; use up to 100 letters, digits, '.', '_' and '-', "
            "starting with a letter, a digit or '_'"
        )
    return name


def check_own(name: str) -> None:
    """Refuse the name of an example where something would be changed.

    Raises:
        InputError: it is one.
    """
    if name.startswith(EXAMPLE_PREFIX):
        raise InputError(f"{name} is an example and cannot be changed")


def name_taken(name: str) -> NameTaken:
    """What to say of a name that another session has."""
    return NameTaken(f"a session called {name} exists already; choose another name")


def generated_name(hint: str, taken: Iterable[str]) -> str:
    """A free name that says what the session is about: `add1-1`, then `add1-2`."""
    base = re.sub(r"[^A-Za-z0-9._]+", "-", hint).strip("-.")[:80] or "session"
    used = re.compile(re.escape(base) + r"-(\d{1,9})", re.IGNORECASE)
    numbers = [int(match[1]) for name in taken if (match := used.fullmatch(name))]
    return f"{base}-{max(numbers, default=0) + 1}"


def names_in(folder: Path) -> list[str]:
    """Names of the session folders in `folder`, sorted; junk is left out."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if _NAME.fullmatch(entry.name)
                and os.path.isdir(entry.path)
                and os.path.lexists(os.path.join(entry.path, "session.json"))
            )
    except OSError:
        return []


def exists(name: str, override: Path | None = None) -> bool:
    """Whether there is a session of the user's by that name, readable or not.

    Raises:
        InputError: it cannot name a session.
    """
    return os.path.lexists(root(override) / checked_name(name) / "session.json")


def located(name_or_path: str | Path, base: Path) -> Path:
    """The folder of an existing session, given by name, `example:NAME` or path.

    Raises:
        InputError: there is none; proposes the nearest names.
    """
    if isinstance(name_or_path, Path) or any(
        separator in name_or_path for separator in (os.sep, os.altsep or os.sep)
    ):
        folder = Path(os.path.abspath(Path(name_or_path).expanduser()))
        if not os.path.lexists(folder / "session.json"):
            raise InputError(f"{name_or_path} is not the folder of a session")
        return folder
    if name_or_path.startswith(EXAMPLE_PREFIX):
        name = name_or_path.removeprefix(EXAMPLE_PREFIX)
        return _existing(name, examples_root(), EXAMPLE_PREFIX)
    return _existing(name_or_path, base, "")


def _existing(name: str, base: Path, prefix: str) -> Path:
    if _NAME.fullmatch(name) and os.path.lexists(base / name / "session.json"):
        return base / name
    names = names_in(base)
    near = difflib.get_close_matches(name, names, n=3) or (names if prefix else [])
    guess = f"; did you mean {', '.join(prefix + other for other in near)}?" if near else ";"
    noun = "example" if prefix else "session"
    raise InputError(f"no {noun} called {name}{guess} {LIST_HINT}")
