"""Facts about this machine and its terminal that decide how well the workbench runs."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from workbench import paths

_LIBRARIES = ("textual", "torch", "transformers", "peft", "polars", "pydantic", "typer")
_ROOM = 5e9
"""Bytes of free disk below which a model or a long session may not fit."""


def machine() -> dict[str, dict[str, Fact]]:
    """Sections of facts for `workbench doctor`."""
    return {
        "Workbench": plain(
            {"version": version("cna-workbench"), "python": platform.python_version()}
        ),
        "Libraries": plain({name: version(name) for name in _LIBRARIES}) | _optional(),
        "Machine": _hardware(),
        "Terminal": terminal_facts(),
        "Places": _places(),
    }


def free_memory(device: str) -> int:
    """Bytes free where a model on this device computes."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def memory_line(needed: int, device: str) -> str:
    """What a step will take beside what there is; where that is short, batches shrink."""
    free = free_memory(device)
    words = f"needs about {needed / 1e6:,.0f} MB beyond the model; {free / 1e6:,.0f} MB are free"
    return words if needed < free else f"{words}: expect smaller batches"


def _optional() -> dict[str, Fact]:
    """What only some models need."""
    try:
        return plain({"bitsandbytes": version("bitsandbytes")})
    except PackageNotFoundError:
        return plain(
            {"bitsandbytes": "not here; for 8, 4 bits: pip install 'cna-workbench[quantised]'"}
        )


def _hardware() -> dict[str, Fact]:
    memory = psutil.virtual_memory()
    return {
        "cores": Fact(str(psutil.cpu_count(logical=True))),
        "memory": Fact(f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"),
    } | _gpus()


def _gpus() -> dict[str, Fact]:
    """The graphics cards that models can run on, or why there is none."""
    import torch

    facts = {}
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        facts[f"GPU {index}"] = Fact(f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")
    if torch.backends.mps.is_available():
        facts["GPU"] = Fact("Apple, by --device mps")
    return facts or {"GPU": _no_gpu(torch.version.cuda or torch.version.hip)}


def _no_gpu(built_for: str | None) -> Fact:
    """None that torch, which is built for a version of CUDA or for none, can use."""
    if shutil.which("nvidia-smi") is None:
        return Fact("none; models run on the CPU")
    if built_for is None:
        advice = "a torch for CUDA: see pytorch.org/get-started"
        return Fact("an NVIDIA driver is here, but this torch is for the CPU alone", advice)
    advice = f"a newer driver, or a torch for an older CUDA than {built_for}"
    return Fact(f"an NVIDIA driver is here, but torch for CUDA {built_for} finds no card", advice)


def _places() -> dict[str, Fact]:
    from sessions import root
    from workbench.models import catalogue
    from workbench.settings import cache_dir

    facts = {
        "sessions": _folder(root(), "WORKBENCH_DATA"),
        "model cache": _folder(cache_dir(), "WORKBENCH_CACHE"),
        "settings": _settings(),
        "log": Fact(home_short(paths.log_file())),
    }
    for each in catalogue():
        if each.present:
            facts[each.name] = Fact(f"{home_short(each.folder)}, {each.size / 1e6:,.0f} MB")
        else:
            facts[each.name] = Fact("not here", f"workbench models fetch {each.name}")
    return facts


def _settings() -> Fact:
    """The file of the user's own, and the project's, which comes before it."""
    from workbench.settings import project_file

    own, project = paths.config_file(), project_file()
    words = home_short(own) + ("" if own.exists() else ", not written yet")
    return Fact(f"{words}; before it {home_short(project)}" if project else words)


def _folder(folder: Path, variable: str) -> Fact:
    """A folder that is written to: where, how much is in it, how much room there is."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    words = f"{home_short(folder)}, {_size(folder) / 1e6:,.0f} MB, {free / 1e9:,.0f} GB free"
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        advice = f"make it writable, or name another: export {variable}=DIR"
        return Fact(f"{home_short(folder)} cannot be written", advice, broken=True)
    if free < _ROOM:
        return Fact(words, f"little room; another disk: export {variable}=DIR")
    return Fact(words)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def home_short(path: Path) -> str:
    """A path as a shell would take it, with ~ for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


SMALLEST, COMFORTABLE = (60, 15), (80, 24)


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
        "size": _window(),
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
    wanted = "tmux-256color" if in_tmux() else "xterm-256color"
    advice = f"if the terminal has more: export TERM={wanted}"
    if in_tmux():
        advice = f'in ~/.tmux.conf: set -g default-terminal "{wanted}"'
    elif term.startswith("screen"):
        advice = "in ~/.screenrc: term screen-256color"
    return Fact(f"16, {why}; glyphs say how much", None if term == "linux" else advice)


def _window() -> Fact:
    if not sys.stdout.isatty():
        return Fact("not known: no terminal")
    columns, rows = size = shutil.get_terminal_size()
    fits = [columns >= width and rows >= height for width, height in (SMALLEST, COMFORTABLE)]
    advice = ("the UI needs 60×15", "80×24 or more is comfortable", None)[sum(fits)]
    return Fact(f"{size.columns}×{size.lines}", advice)


def _clipboard() -> Fact:
    """Which way copied text goes, and what opens the way to the terminal's own clipboard."""
    if in_tmux():
        features = _tmux_says("#{client_termfeatures}")
        if features is None:
            return Fact("tmux does not answer: by OSC 52 and into a file", "is tmux there?")
        if "clipboard" in features.split(","):
            return Fact("tmux's buffer, and through tmux the terminal's clipboard")
        advice = "for the terminal's too, in ~/.tmux.conf: set -as terminal-features ',*:clipboard'"
        return Fact("tmux's buffer", advice)
    if (deaf := deaf_terminal()) is not None:
        return Fact(f"{deaf} takes nothing: copied text is shown to select", "tmux has a buffer")
    return Fact("by OSC 52, where the terminal takes it; y also writes a file")


def deaf_terminal() -> str | None:
    """What is known to drop text that programs put on the clipboard; None: nothing is."""
    if "STY" in os.environ:
        return "screen"
    return "the Linux console" if os.environ.get("TERM") == "linux" else None


def _characters() -> Fact:
    """The locale that multiplexers and terminals go by; Python itself assumes UTF-8."""
    names = ("LC_ALL", "LC_CTYPE", "LANG")
    name = next((each for each in names if os.environ.get(each)), None)
    value = os.environ[name] if name else ""
    if "utf8" in value.lower().replace("-", ""):
        return Fact(f"UTF-8, by {name}={value}")
    words = f"{name}={value} is not UTF-8" if name else "no locale is set"
    return Fact(words, "if boxes and glyphs look wrong: export LC_ALL=C.UTF-8")


def in_tmux() -> bool:
    """Whether tmux lies between this program and the terminal."""
    return bool(os.environ.get("TMUX"))


def _tmux_says(format: str) -> str | None:
    """What a format of the tmux around this terminal says; None: it does not answer."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["tmux", "display-message", "-p", format]
        return subprocess.run(
            asked, capture_output=True, text=True, timeout=2, check=True
        ).stdout.strip()
    return None
