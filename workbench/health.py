"""Facts about this machine that decide how well the workbench runs on it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

_LIBRARIES = ("textual", "torch", "transformers", "peft", "polars", "pydantic", "typer")


def machine() -> dict[str, dict[str, Any]]:
    """Sections of facts for `workbench doctor`."""
    return {
        "Workbench": {"version": version("cna-workbench"), "python": platform.python_version()},
        "Libraries": {name: version(name) for name in _LIBRARIES} | _optional(),
        "Machine": _hardware(),
        "Terminal": _terminal(),
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


def _optional() -> dict[str, str]:
    """What only some models need."""
    try:
        return {"bitsandbytes": version("bitsandbytes")}
    except PackageNotFoundError:
        return {"bitsandbytes": "not here; pip install 'cna-workbench[quantised]' for 8 and 4 bits"}


def _hardware() -> dict[str, Any]:
    import torch

    memory = psutil.virtual_memory()
    facts: dict[str, Any] = {
        "cores": psutil.cpu_count(logical=True),
        "memory": f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
    }
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for index in range(count):
        free, total = torch.cuda.mem_get_info(index)
        name = torch.cuda.get_device_name(index)
        facts[f"GPU {index}"] = f"{name}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
    if not count:
        facts["GPU"] = "none; models run on the CPU"
    return facts


def _terminal() -> dict[str, Any]:
    from rich.console import Console

    size = shutil.get_terminal_size()
    small = size.columns < 80 or size.lines < 24
    advice = "; 80×24 or more is comfortable" if small else ""
    return {
        "on a terminal": "yes" if sys.stdout.isatty() else "no",
        "TERM": os.environ.get("TERM", "not set"),
        "colours": Console(force_terminal=True).color_system or "none",
        "size": f"{size.columns}×{size.lines}{advice}",
        "over SSH": "yes" if "SSH_CONNECTION" in os.environ else "no",
    }


def _places() -> dict[str, Any]:
    from sessions import root
    from workbench import paths
    from workbench.models import catalogue

    facts = {"sessions": str(root()), "model cache": str(paths.cache_dir())}
    for each in catalogue():
        facts[each.name] = (
            str(each.folder) if each.present else f"not here; workbench models fetch {each.name}"
        )
    return facts
