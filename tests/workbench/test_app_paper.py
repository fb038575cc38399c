"""Screen 8: tables measured live, stopped, gone on with, and replayed."""

from __future__ import annotations

import pytest
import replays
from piloting import driving
from tiny_folder import HEADS_IN_ALL

from analysis.errors import InputError
from analysis.paper import scale as scales
from analysis.paper.registry import TABLES
from screens.widgets.frame_table import FrameTable
from screens.widgets.lines import ProgressLine
from sessions import Session

DOWN_TO_T27 = ("8", "G")


@pytest.fixture(autouse=True)
def _few_cases(monkeypatch):
    """Scales small enough for a test."""
    few = scales.SCALES["small"].limited(3).model_copy(update={"shots": 1})
    monkeypatch.setitem(scales.SCALES, "small", few)
    monkeypatch.setitem(scales.SCALES, "full", few.model_copy(update={"name": "full", "seed": 1}))


def tables(user) -> FrameTable:
    return user.app.screen.query_one("#tables", FrameTable)


def cells(user) -> FrameTable:
    return user.app.screen.query_one("#cells", FrameTable)


def swept(user) -> list[int]:
    """Rows of each sweep so far."""
    return [each.rows.height for each in user.workspace.results if each.step.kind == "heads"]


def mark(user) -> str:
    return tables(user).current["mark"]


async def test_the_list_says_what_to_press(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("8")
        assert user.here == "paper"
        assert tables(user).total == len(TABLES)
        assert user.text("#title").startswith(" T1 · accuracy without each of the top heads")
        assert "T1 is not measured yet. Press r to measure it (small scale)" in user.text("#claim")
        await user.press("o")
        assert "Press r to measure it (full scale)" in user.text("#claim")
        await user.press("j")
        assert user.text("#title").startswith(" T2 · ")


async def test_r_measures_a_table_step_by_step(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        assert user.here == "paper"
        await user.until(lambda: mark(user) == "?")
        await user.settled()
        assert "undecided" in user.text("#claim")
        assert cells(user).total == 18
        session = Session.open(user.workspace.session.name)
        assert [each.step.kind for each in session.steps] == ["heads"] * 3 + ["table"]
        await user.press("tab", "j")
        assert "1D÷ · 1st" in user.text("#cell")
        assert "paper: L14H19" in user.text("#cell")
        await user.press("r")  # again: it is there already
        await user.settled()
        assert len(Session.open(session.name).steps) == 4


async def test_a_table_that_is_being_measured_stops_and_goes_on(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        gate.let(HEADS_IN_ALL + 2)
        await user.until(lambda: swept(user) == [12, 2])
        assert mark(user) == "…"
        assert "Being measured" in user.text("#claim")
        await user.press("escape")
        await user.settled()
        assert user.here == "paper"
        assert "Stopped; press r to go on" in user.text("#claim")
        states = [each.info.state for each in Session.open(user.workspace.session.name).steps]
        assert states == ["done", "stopped"]
        gate.let_all()
        await user.press("r")
        await user.until(lambda: mark(user) == "?")
        await user.settled()
        steps = Session.open(user.workspace.session.name).steps
        assert [each.step.kind for each in steps] == ["heads"] * 3 + ["table"]


async def test_capital_r_measures_all_and_escape_stops_them(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("8", "R")
        gate.let(1)
        await user.until(lambda: "1 of 12" in user.line(ProgressLine))
        waiting = [each.state for each in user.workspace.results if each.step.kind == "table"]
        assert waiting == ["queued"] * len(TABLES)
        gate.let(1)
        await user.press("escape")
        await user.settled()
        states = {each.state for each in user.workspace.results if each.step.kind == "table"}
        assert states == {"stopped"}


async def test_a_table_whose_step_fails_says_why(live, monkeypatch):
    def fails(*arguments):
        raise InputError("no such luck")

    monkeypatch.setattr("analysis.methods.heads.sweep_work", fails)
    async with driving(live()) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        await user.settled()
        assert "no such luck" in user.text("#claim")
        assert "no such luck" in user.notices[-1]
        assert mark(user) == "·"


async def test_what_was_measured_before_is_taken_up_in_the_same_session(live):
    async with driving(live("mine")) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        await user.until(lambda: mark(user) == "?")
        await user.settled()
    async with driving(live("mine")) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        await user.until(lambda: mark(user) == "?")
        await user.settled()
        assert len(Session.open("mine").steps) == 4


async def test_a_replay_opens_at_the_tables_and_asks_for_no_model(live, on_tiny):
    on_tiny("paper", "--table", "T27", "--cases", "3", "--shots", "1", "--json")
    async with driving(replays.replaying("paper-tiny-small")) as user:
        assert user.here == "paper"
        assert tables(user).current_key == "T27"
        assert cells(user).total == 18
        await user.press("r")
        assert user.notices[-1].startswith("This is a replay")
        await user.press("k")
        assert "T26 was not measured in this session" in user.text("#claim")
        await user.press("left_square_bracket")
        assert user.here == "heads"
        await user.press("right_square_bracket", "enter")
        await user.until(lambda: user.here == "Finder")
        assert "T27 · " in user.text(".question")
        await user.press("down", "enter")
        assert (user.here, user.result.name) == ("heads", "002-heads")


async def test_stopping_a_step_that_a_table_needs_stops_the_table(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press(*DOWN_TO_T27, "r")
        gate.let(2)
        await user.until(lambda: swept(user) == [2])
        await user.press("2")
        assert user.here == "heads"
        await user.press("escape")
        await user.settled()
        kinds = {each.step.kind: each.state for each in user.workspace.results}
        assert kinds == {"table": "stopped", "heads": "stopped"}
        await user.press("8")
        assert "Stopped; press r to go on" in user.text("#claim")
        gate.let_all()
        await user.press("T", "home", "r", "escape")  # or from the list of steps
        await user.settled()
        assert mark(user) == "?"
    steps = Session.open(user.workspace.session.name).steps
    assert [each.step.kind for each in steps] == ["heads"] * 3 + ["table"]


async def test_when_a_table_fails_those_that_wait_fail_for_the_same_reason(live, gate, monkeypatch):
    async with driving(live()) as user:
        await user.settled()

        def fails(*arguments):
            raise InputError("no such luck")

        await user.press("8", "R")
        gate.let(1)
        await user.until(lambda: swept(user) == [1])
        monkeypatch.setattr("analysis.methods.heads.sweep_work", fails)
        gate.let_all()
        await user.settled()
        ends = {(each.state, each.error) for each in user.workspace.results if not each.rows.height}
        assert ends == {("failed", "no such luck")}
        assert user.notices.count("no such luck") == 1
