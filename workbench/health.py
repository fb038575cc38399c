"""Facts about this machine that decide how well the workbench runs on it."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from workbench.terminal_health import Fact, plain, terminal_facts

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
    from workbench import paths
    from workbench.models import catalogue

    facts = {
        "sessions": _folder(root(), "WORKBENCH_DATA"),
        "model cache": _folder(paths.cache_dir(), "WORKBENCH_CACHE"),
        "log": Fact(home_short(paths.log_file())),
    }
    for each in catalogue():
        if each.present:
            facts[each.name] = Fact(f"{home_short(each.folder)}, {each.size / 1e6:,.0f} MB")
        else:
            facts[each.name] = Fact("not here", f"workbench models fetch {each.name}")
    return facts


def _folder(folder: Path, variable: str) -> Fact:
    """A folder that is written to: where, how much is in it, how much room there is."""
    there = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(there).free
    told = f"{home_short(folder)}, {_size(folder) / 1e6:,.0f} MB, {free / 1e9:,.0f} GB free"
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        advice = f"make it writable, or name another: export {variable}=DIR"
        return Fact(f"{home_short(folder)} cannot be written", advice, broken=True)
    if free < _ROOM:
        return Fact(told, f"little room; another disk: export {variable}=DIR")
    return Fact(told)


def _size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def home_short(path: Path) -> str:
    """A path as a shell would take it, with ~ for the home folder."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)
