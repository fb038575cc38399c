"""The house rules that only a fresh interpreter shows: what an import really loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "peft", "accelerate", "bitsandbytes")

LIGHT = (
    "analysis",
    "analysis.steps",
    "sessions",
    "screens",
    "workbench",
    "workbench.cli",
    "workbench.models",
    "workbench.settings",
)

ALL_OF_A_ROOM = """
import importlib, pkgutil, sys
room = importlib.import_module({room!r})
for module in pkgutil.walk_packages(room.__path__, room.__name__ + "."):
    importlib.import_module(module.name)
"""


def loaded_after(script: str, wanted: tuple[str, ...]) -> list[str]:
    """Which of the wanted packages are loaded after a script, in an interpreter of its own."""
    check = f"\nimport sys\nprint(*[name for name in {wanted!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script + check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_no_heavy_library(module):
    assert loaded_after(f"import {module}", HEAVY) == []


@pytest.mark.parametrize("room", ["sessions", "screens", "workbench"])
def test_no_module_of_the_room_loads_a_heavy_library(room):
    assert loaded_after(ALL_OF_A_ROOM.format(room=room), HEAVY) == []


def test_the_steps_load_no_heavy_library():
    assert loaded_after(ALL_OF_A_ROOM.format(room="analysis.steps"), HEAVY) == []


@pytest.mark.parametrize("room", ["analysis", "sessions"])
def test_numbers_and_memory_know_no_terminal(room):
    assert loaded_after(ALL_OF_A_ROOM.format(room=room), ("textual",)) == []
