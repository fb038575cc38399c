"""What the terminal says of itself, and what to set where it could do more."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

SMALLEST, COMFORTABLE = (60, 16), (80, 24)


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact about this machine."""

    value: str
    advice: str | None = None
    """What to do about it, in one line; None: it is fine."""
    broken: bool = False
    """Whether nothing can be recorded as it is."""

    @property
    def mark(self) -> str:
        """`ok`, `advice` or `broken`."""
        return "broken" if self.broken else "advice" if self.advice else "ok"


def plain(values: Mapping[str, str]) -> dict[str, Fact]:
    """Facts that ask for nothing."""
    return {name: Fact(value) for name, value in values.items()}


def terminal_facts() -> dict[str, Fact]:
    """What decides how the terminal UI looks here."""
    return {
        "on a terminal": Fact("yes" if sys.stdout.isatty() else "no"),
        "TERM": Fact(os.environ.get("TERM") or "not set"),
        "colours": _colours(),
        "size": _size(),
        "clipboard": _clipboard(),
        "characters": _characters(),
        "over SSH": Fact("yes: nothing is animated" if "SSH_CONNECTION" in os.environ else "no"),
    }


def _colours() -> Fact:
    """As Textual and Rich decide it, with the variable that decides."""
    term, color_term = os.environ.get("TERM", ""), os.environ.get("COLORTERM", "")
    if term in ("dumb", "unknown"):
        return Fact(f"TERM={term}: the UI does not open", "export TERM=xterm-256color")
    if os.environ.get("NO_COLOR"):
        return Fact("none, by NO_COLOR; glyphs say how much")
    if color_term.strip().lower() in ("truecolor", "24bit"):
        return Fact(f"16.7 million, by COLORTERM={color_term}")
    if term.endswith("-256color"):
        return Fact(f"256, by TERM={term}")
    why = f"by TERM={term}" if term else "as TERM is not set"
    wanted = "tmux-256color" if _in_tmux() else "xterm-256color"
    advice = f"if the terminal has more: export TERM={wanted}"
    if _in_tmux():
        advice = f'in ~/.tmux.conf: set -g default-terminal "{wanted}"'
    elif term.startswith("screen"):
        advice = "in ~/.screenrc: term screen-256color"
    return Fact(f"16, {why}; glyphs say how much", None if term == "linux" else advice)


def _size() -> Fact:
    if not sys.stdout.isatty():
        return Fact("not known: no terminal")
    columns, rows = size = shutil.get_terminal_size()
    fits = [columns >= width and rows >= height for width, height in (SMALLEST, COMFORTABLE)]
    advice = ("the UI needs 60×16", "80×24 or more is comfortable", None)[sum(fits)]
    return Fact(f"{size.columns}×{size.lines}", advice)


def _clipboard() -> Fact:
    if _in_tmux():
        setting = _tmux_option("set-clipboard")
        if setting == "on":
            return Fact("through tmux (set-clipboard on)")
        told = f"set-clipboard {setting}" if setting else "its setting is not known"
        return Fact(f"tmux may keep it ({told})", "in ~/.tmux.conf: set -g set-clipboard on")
    if "STY" in os.environ:
        return Fact("screen passes nothing on; y also writes a file", "tmux passes it on")
    return Fact("by OSC 52, where the terminal takes it; y also writes a file")


def _characters() -> Fact:
    """The locale that multiplexers and terminals go by; Python itself assumes UTF-8."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    name = next((each for each in names if os.environ.get(each)), None)
    value = os.environ[name] if name else ""
    if "utf8" in value.lower().replace("-", ""):
        return Fact(f"UTF-8, by {name}={value}")
    told = f"{name}={value} is not UTF-8" if name else "no locale is set"
    return Fact(told, "if boxes and glyphs look wrong: export LC_ALL=C.UTF-8")


def _in_tmux() -> bool:
    return "TMUX" in os.environ


def _tmux_option(name: str) -> str:
    """A setting of the tmux around this terminal; empty where it does not answer."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["tmux", "show-options", "-sv", name]
        return subprocess.run(
            asked, capture_output=True, text=True, timeout=2, check=True
        ).stdout.strip()
    return ""
