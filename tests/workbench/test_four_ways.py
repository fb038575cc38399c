"""The same steps by four ways, command line, screens, plan and notebook, leave the same session."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from piloting import driving
from polars.testing import assert_frame_equal

from screens.messages import StepRequested
from screens.workspace import Workspace
from sessions import Session, ensure

ASKED = ("heads", "project", "table")
"""The kinds that are asked for; a table asks for sweeps of its own."""
PLAN = """
kind = "heads"
task = "add1"
shots = 2
---
kind = "project"
source = "L0N7"
top = 3
---
kind = "table"
table = "T27"
cases = 3
shots = 1
"""
TIMES = {"started", "seconds", "id"}
"""What every recording has of its own."""


@pytest.fixture
def by_command(on_tiny) -> Session:
    where = ("--session", "command", "--json")
    on_tiny("heads", "--task", "add1", "--shots", "2", *where)
    on_tiny("project", "L0N7", "--top", "3", *where)
    on_tiny("paper", "--table", "T27", "--cases", "3", "--shots", "1", *where)
    return Session.open("command")


def contents(session: Session) -> dict[str, Any]:
    """What each file of a session's steps says, apart from times and how they were looked at."""
    found: dict[str, Any] = {}
    for step in session.steps:
        document = json.loads((step.folder / "step.json").read_text("utf-8"))
        found[f"{step.id}/step.json"] = {
            name: value for name, value in document.items() if name not in TIMES
        }
        for file in sorted(step.folder.glob("*.parquet")):
            found[f"{step.id}/{file.name}"] = pl.read_parquet(file)
    return found


def assert_same(session: Session, other: Session) -> None:
    one, two = contents(session), contents(other)
    assert list(one) == list(two)
    for name, value in one.items():
        if isinstance(value, pl.DataFrame):
            assert_frame_equal(value, two[name], check_row_order=False)
        else:
            assert value == two[name], name


def test_a_plan_leaves_what_the_commands_leave(by_command, workbench, plan, tiny):
    path: Path = plan(*PLAN.split("---"), name="planned")
    assert workbench("run", path, *tiny).code == 0
    assert_same(by_command, Session.open("planned"))


def test_a_notebook_leaves_what_the_commands_leave(by_command, tiny_model):
    steps = [each.step for each in by_command.steps if each.id in asked(by_command)]
    with Session.use("notebook", tiny_model.info, seed=by_command.info.seed) as session:
        for step in steps:
            for _ in ensure(session, step, tiny_model):
                pass
        count = len(session.steps)
        for step in steps:  # it has them all
            updates = [type(each).__name__ for each in ensure(session, step, tiny_model)]
            assert updates == ["Started", "Finished"]
        assert len(session.steps) == count
    assert_same(by_command, session)


async def test_screens_leave_what_the_commands_leave(by_command, live):
    steps = [each.step for each in by_command.steps if each.id in asked(by_command)]
    async with driving(live("screens", seed=by_command.info.seed)) as user:
        await user.settled()
        for step in steps:
            user.app.post_message(StepRequested(step))
            await user.pilot.pause()
            ids = [each.id for each in user.workspace.results if each.step == step]
            await user.settled()
            # The id that it was asked for with is the one it has in the end.
            assert [each.id for each in user.workspace.results if each.step == step] == ids
        names = [each.name for each in user.workspace.results]
    assert sorted(names) == [each.id for each in by_command.steps]
    assert_same(by_command, Session.open("screens"))


def asked(session: Session) -> list[str]:
    """The first step of each kind that was asked for."""
    first: dict[str, str] = {}
    for each in session.steps:
        first.setdefault(each.step.kind, each.id)
    return [first[kind] for kind in ASKED]


async def test_a_result_has_one_id_from_asking_to_replay(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("i")  # importance of the neurons in the case at hand
        await user.until(lambda: user.workspace.results)
        (asked,) = user.workspace.results
        await user.settled()
        (done,) = user.workspace.results
        recorded = user.workspace.session.steps[0]
        assert asked.id == done.id == recorded.info.id
        again = Workspace(user.workspace.prompts)
        again.replay(Session.open(user.workspace.session.name))
        assert [each.id for each in again.results] == [asked.id]
