"""What is recorded is replayed, shown and handed on where torch is not to be had."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLOCKED = """
import sys

sys.modules |= dict.fromkeys(("torch", "transformers", "peft", "accelerate"))  # not to be imported
"""
REPLAY = """
import asyncio
from analysis.tasks.standard import task
from screens.workspace import Workspace
from sessions import Session
from workbench.app import WorkbenchApp

async def main(name):
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(Session.open(name))
    workspace.results[:] = {each.step.kind: each for each in workspace.results}.values()
    workspace.replay_place = 0
    app = WorkbenchApp(workspace, None)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("left_curly_bracket")
        assert workspace.results
        for place, _ in enumerate(workspace.results):
            await pilot.pause()
            kind = workspace.results[place].step.kind
            named = kind in (*app.screen.KINDS, *app.screen.BESIDE)
            assert named or app.screen.result.step.kind == kind, kind
            assert workspace.replay_place == place
            await pilot.press("right_square_bracket")
        for key in "123456789":
            await pilot.press(key)
            await pilot.pause()

asyncio.run(main(sys.argv[1]))
print("replayed")
"""


def without_torch(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + program, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["example:addition", "example:ioi", "example:paper"])
def test_a_step_of_every_kind_in_the_examples_is_replayed_on_its_screen(name):
    assert without_torch(REPLAY, name).strip() == "replayed"


@pytest.mark.parametrize(
    "command",
    [
        ["sessions", "ls"],
        ["sessions", "show", "example:paper"],
        ["sessions", "show", "example:addition", "--step", "1"],
        ["sessions", "diff", "example:addition", "example:addition"],
        ["paper", "--list"],
    ],
    ids=" ".join,
)
def test_recorded_sessions_are_read_and_handed_on(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = "from workbench.cli import run\nsys.exit(run(sys.argv[1:]))"
    without_torch(program, *command)
