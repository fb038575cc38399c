"""The timeline, notes and names: listed, jumped to, written down, in a replay and on screen 7."""

from __future__ import annotations

import shutil

import pytest
from piloting import driving
from replays import own_example
from tiny_folder import HEADS_IN_ALL

from screens.timeline import PLAYING, ReplayBar, Timeline
from sessions import Session, list_sessions


@pytest.fixture
def mine():
    """A copy of the example that is the user's own."""
    return own_example().name


def lines(user) -> list[dict]:
    """The lines of the timeline in front."""
    table = user.app.screen.query_one(Timeline)
    return table.copied(True).to_dicts()


async def test_the_timeline_lists_the_steps_and_enter_goes_to_one(mine, replaying):
    async with driving(replaying(mine)) as user:
        await user.press("T")
        assert user.here == "TimelineDialog"
        recorded = Session.open(mine).steps
        assert [each["id"] for each in lines(user)] == [str(each.folder) for each in recorded]
        assert [each["title"] for each in lines(user)] == [each.step.title for each in recorded]
        assert [each["seconds"] for each in lines(user)] == [each.info.seconds for each in recorded]
        assert {each["state"] for each in lines(user)} == {"done"}
        await user.press("down", "down", "enter")
        await user.until(lambda: user.here == "tokens")
        assert user.result.name == "003-project"
        await user.press("T", "escape")
        assert user.here == "tokens"


async def test_a_note_on_a_step_is_kept_and_shown(mine, replaying):
    async with driving(replaying(mine)) as user:
        await user.press("N")
        await user.type("one head\\nmatters")
        await user.press("enter")
        await user.until(lambda: user.here == "heads")
        assert Session.open(mine).step(1).info.note == "one head\nmatters"
        assert "one head" in user.text("ReplayBar")
        await user.press("T", "down", "N")
        await user.type("first neuron says nine")
        await user.press("enter")
        await user.until(lambda: user.here == "TimelineDialog")
        kept = ["one head\nmatters", "first neuron says nine"]
        await user.until(lambda: [each["note"] for each in lines(user)][:2] == kept)


async def test_notes_on_screen_7_are_on_the_session_or_on_the_step_that_has_the_cursor(
    mine, replaying
):
    async with driving(replaying(mine)) as user:
        await user.press("7", "N")
        await user.type("a first look")
        await user.press("enter")
        await user.until(lambda: user.here == "sessions")
        assert "a first look" in user.text("#about")
        await user.press("tab", "down", "N")
        await user.type("look again")
        await user.press("enter")
        await user.until(lambda: user.here == "sessions")
    session = Session.open(mine)
    assert session.info.note == "a first look"
    assert session.step(2).info.note == "look again"


async def test_an_example_and_a_read_only_workbench_take_no_notes(mine, replaying):
    async with driving(replaying("example:addition")) as user:
        await user.press("N", "x", "enter")
        words = "is an example and cannot be changed"
        await user.until(lambda: words in f"{user.notices} {user.seen}")
    async with driving(replaying(mine, readonly=True)) as user:
        await user.press("N")
        await user.until(lambda: user.notices)
        assert user.notices[-1] == "The workbench is read-only: nothing is noted."
    assert Session.open(mine).step(1).info.note == ""


async def test_enter_in_the_timeline_of_screen_7_replays_from_that_step(mine, live):
    async with driving(live(model="./nowhere")) as user:
        await user.press("7", "tab", "down", "down", "down", "enter")
        await user.until(lambda: user.here == "tokens")
        assert user.result.name == "004-project"
        assert user.workspace.replay_place == 3


async def test_a_session_gets_another_name_and_a_taken_one_is_refused(mine, live, sessions_folder):
    shutil.copytree(sessions_folder / mine, sessions_folder / "other")
    async with driving(live(model="./nowhere")) as user:
        await user.press("7")
        user.table.move_to(mine)
        await user.press("R")
        await user.type("other")
        await user.press("enter")
        await user.until(lambda: "a session called other exists" in user.seen)
        await user.press("ctrl+u")
        await user.type("first look")
        await user.press("enter")
        await user.until(lambda: "'first look' cannot name a session" in user.seen)
        await user.press("ctrl+u")
        await user.type("renamed")
        await user.press("enter")
        await user.until(lambda: {each.name for each in list_sessions()} == {"renamed", "other"})
        await user.until(lambda: user.app.screen.table.known(["renamed"]))
    assert not Session.open("renamed").is_written


async def test_in_live_work_the_timeline_goes_between_results(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("enter")
        await user.settled()
        assert user.here == "neurons"
        await user.press("T", "up", "enter")
        await user.until(lambda: user.here == "heads")
        await user.press("N")
        await user.type("seen")
        await user.press("enter")
        await user.until(lambda: user.result.note == "seen")
        assert Session.open("add1-1").step(1).info.note == "seen"
        assert not user.workspace.replaying


async def test_playing_is_said_and_ends_at_the_last_step(mine, replaying, monkeypatch):
    monkeypatch.setattr("workbench.player.PLAY_EVERY", 0.2)
    async with driving(replaying(mine)) as user:
        await user.press("space")
        assert PLAYING in user.text("ReplayBar")
        await user.until(lambda: user.workspace.replay_place == 4)
        await user.until(lambda: not user.workspace.playing)
        assert PLAYING not in user.text("ReplayBar")
        monkeypatch.setattr("workbench.player.PLAY_EVERY", 60)
        await user.press("space")
        assert user.workspace.replay_place == 0
        await user.press("space")
        assert not user.workspace.playing


async def test_keys_of_live_work_are_not_offered_in_a_replay_nor_those_of_a_replay_in_live_work(
    mine, replaying, live
):
    def offered(user) -> set[str]:
        return {each.binding.description for each in user.app.screen.active_bindings.values()}

    async with driving(replaying(mine)) as user:
        live_keys = {"Sweep", "Ablate marked", "Zero / mean ablation", "Mark"}
        assert not offered(user) & live_keys
        assert {"Metric", "Beside", "Play", "Next step", "Live", "Steps"} <= offered(user)
        for screen in "134568":
            await user.press(screen)
            assert "Play" in offered(user)
            assert not offered(user) & {"Resume", "Measure", "New prompt", "Lens"}
        await user.press("2", "c")
        await user.until(lambda: not user.workspace.replaying)
        assert live_keys <= offered(user)
        assert not offered(user) & {"Play", "Next step", "Live"}


async def test_the_bar_says_where_the_replay_is(mine, replaying):
    async with driving(replaying(mine)) as user:
        await user.press("right_square_bracket")
        bar = user.app.screen.query_one(ReplayBar)
        assert bar.display
        assert user.text("ReplayBar").startswith(" 2 of 5  ")


async def test_a_running_step_is_stopped_and_gone_on_with_from_the_list(live, gate):
    async with driving(live()) as user:
        await user.until(lambda: user.workspace.model is not None)
        await user.press("r")
        gate.let(2)
        await user.until(lambda: user.workspace.results[0].rows.height == 2)
        await user.press("T", "d")
        await user.until(lambda: states(user) == ["stopped"])
        await user.press("r")
        gate.let_all()
        await user.until(lambda: states(user) == ["done"])
        await user.press("enter")
        assert user.here == "heads"
        assert user.result.rows.height == HEADS_IN_ALL


def states(user) -> list[str]:
    return user.app.screen.query_one(Timeline).copied(True)["state"].to_list()


async def test_the_list_of_steps_tells_how_far_one_is_and_when_it_will_be_done(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(3)
        await user.until(lambda: user.result.done == 3)
        await user.press("T")
        (line,) = lines(user)
        assert line["state"] == f"running {3 / HEADS_IN_ALL:.0%}"
        assert line["time"].endswith(" left")
        gate.let_all()
        await user.settled()
        (line,) = lines(user)
        assert line["state"] == "done"
        assert not line["time"].endswith(" left")


async def test_a_finished_step_is_run_again_and_stands_beside_the_first(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("T", "R")
        await user.until(lambda: len(user.workspace.results) == 2)
        await user.settled()
        await user.press("escape", "2", "w")
        assert user.app.screen.second is not None
    first, second = Session.open("add1-1").steps
    assert first.step == second.step
    assert first.rows().sort("name").equals(second.rows().sort("name"))
