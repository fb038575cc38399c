"""Plans: TOML files that hold several steps in the words of the command line.

A step of a plan has the options of its kind for keys, and is read by the same code as a command.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.options import CHANGE, Given, Option, given, without_dashes
from analysis.step import REGISTRY, Step
from sessions.paths import checked_name
from workbench.cli import options
from workbench.cli.step_commands import asked

OF_ALL = (CHANGE, Option("seed", "Seed of everything random.", int))
"""Options that all steps share."""


class Plan(BaseModel):
    """A plan as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    model: str | None = None
    dtype: str | None = None
    bits: int | None = None
    device: str | None = None
    adapter: str | None = None
    ignore_unused: bool | None = None
    seed: int | None = None
    session: str | None = None
    """Where its steps go; None: a session of the plan's own name."""
    keep_going: bool = False
    """Whether the steps behind a failing one run nevertheless."""
    step: list[dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class Planned:
    """One step of a plan, ready to run."""

    number: int
    """Place in the plan, from 1; a `table` step may ask for several."""
    step: Step


def read_plan(path: Path) -> Plan:
    """Read a plan; its steps are not looked into.

    Raises:
        InputError: it cannot be read, or a key or a value at its top is none.
    """
    try:
        plan = Plan.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read plan {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path.name} is not valid TOML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{path.name}: {_first_reason(error)}") from error
    placed = {key: _placed(path, getattr(plan, key)) for key in ("model", "adapter")}
    return plan.model_copy(update=placed)


def session_name(path: Path, plan: Plan) -> str:
    """The session that a plan goes to, so that the same plan goes on with it.

    Raises:
        InputError: it cannot be the name of one.
    """
    own = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip(".-") or "plan"
    return checked_name(own[:100] if plan.session is None else plan.session)


def planned(path: Path, plan: Plan, on: dict[str, Any]) -> tuple[Planned, ...]:
    """The steps of a plan, read as the command line reads them.

    Args:
        path: where the plan lies.
        plan: what it says.
        on: the options of the model: `model`, `dtype`, `seed` …

    Raises:
        InputError: names the step and, where one is to blame, the key.
    """
    return tuple(
        Planned(number, step)
        for number, given in enumerate(plan.step, start=1)
        for step in _steps(number, given, path, on)
    )


def kinds() -> dict[str, type[Step]]:
    """The kinds of steps that a plan may ask for."""
    return {kind: step for kind, step in REGISTRY.items() if step.askable()}


def _steps(number: int, values: dict[str, Any], path: Path, on: dict[str, Any]) -> list[Step]:
    values, known = dict(values), kinds()
    kind = values.pop("kind", None)
    where = f"{path.name}, step {number}"
    if not isinstance(kind, str) or kind not in known:
        said = "kind is missing" if kind is None else f"unknown kind {kind!r}"
        raise InputError(f"{where}: {said}{_nearest(kind, known)}; known are {', '.join(known)}")
    try:
        return _asked(known[kind], values, path, on)
    except InputError as error:
        raise InputError(f"{where} ({kind}): {without_dashes(str(error))}") from error


def _asked(kind: type[Step], values: dict[str, Any], path: Path, on: dict[str, Any]) -> list[Step]:
    """The steps that the keys of a plan ask for, on the variant that they name."""
    own = kind.options()
    taken = {each.name for each in own}
    all_options = (*own, *(each for each in OF_ALL if each.name not in taken))
    known = {each.name: each for each in all_options}
    for key in values:
        if key not in known:
            raise InputError(_unknown(key, known))
    placed = {
        key: _placed(path, value) if known[key].file else value for key, value in values.items()
    }
    read = given(all_options, placed)
    found = options.opened(all_options, dict(read.values))
    seed = on.get("seed") if found.get("seed") is None else found["seed"]
    # A seed that is none is refused even where nothing is drawn.
    at = options.settings(**{**on, "seed": seed}).seed
    steps = asked(kind, Given(found, at))
    variant = Changes() if "change" in taken else options.changes(found["change"])
    if variant:
        changed = {"changes": variant.interventions}
        return [each.model_copy(update=changed) for each in steps]
    return [*steps]


def _unknown(key: str, known: Iterable[str]) -> str:
    if key in Plan.model_fields:
        return f"{key} is of the whole plan; write it above the first step"
    return f"unknown key {key!r}{_nearest(key, known)}; known are {', '.join(known)}"


def _nearest(word: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _first_reason(error: ValidationError) -> str:
    """The first thing wrong at the top of a plan."""
    first = error.errors()[0]
    key = str(first["loc"][0]) if first["loc"] else "plan"
    if first["type"] == "extra_forbidden":
        fields = Plan.model_fields
        return f"unknown key {key!r}{_nearest(key, fields)}; known are {', '.join(fields)}"
    if key == "step" and first["type"] == "list_type" and isinstance(first["input"], dict):
        return "[step] is one table; write [[step]], with two brackets, above each step"
    if key == "step":
        return "it has no steps; write each under [[step]], with its kind"
    return f"{key}: {first['msg']}, not {first['input']!r}"


def _placed(path: Path, value: Any) -> Any:
    if isinstance(value, str) and value.startswith(("./", "../")):
        return str((path.parent / value).resolve())
    return value
