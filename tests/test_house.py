"""The house rules: what an import really loads, and how the code is cut."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Collection
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("analysis", "sessions", "screens", "workbench")

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


# How the code is cut


def modules() -> dict[str, ast.Module]:
    """Every module of the product by its dotted name."""
    found = {}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = ast.parse(file.read_text("utf-8"))
    return found


def imported(name: str, tree: ast.Module, known: Collection[str]) -> set[str]:
    """The modules of the product that one imports anywhere in it, lazily or for types alone."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{each.name}" for each in node.names}
            found |= {each if each in known else node.module for each in inside}
    return {each for each in found if each in known and each != name}


def test_no_two_modules_import_each_other_however_far_around():
    trees = modules()
    graph = {name: imported(name, tree, trees) for name, tree in trees.items()}
    order = TopologicalSorter(graph)
    order.prepare()  # which raises CycleError with the circle
    assert len(graph) > 100


def test_the_ground_floor_of_analysis_is_small():
    assert len([*(ROOT / "analysis").glob("*.py")]) <= 16


def test_no_two_classes_have_one_name():
    names = Counter(
        node.name
        for tree in modules().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_function_stays_on_one_screen():
    assert {
        f"{name}.{node.name}"
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    } == set()


def test_no_class_of_the_app_has_more_than_forty_methods():
    counts = {
        f"{name}.{node.name}": sum(isinstance(each, ast.FunctionDef) for each in node.body)
        for name, tree in modules().items()
        if name.startswith("workbench.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert {name: count for name, count in counts.items() if count > 40} == {}
