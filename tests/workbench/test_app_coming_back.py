"""Coming back: what was stopped is named and offered, a session opens where it was left."""

from __future__ import annotations

import shlex

import pytest
from piloting import driving, staged_names
from replays import own_example, unmeasured
from tiny_folder import HEADS_IN_ALL

from analysis.refs import HeadRef
from analysis.steps import AttendStep
from analysis.tasks.prompts import PromptSet
from analysis.tasks.standard import task
from screens.chrome import OfferLine
from sessions import Session
from sessions.documents import DESK_FILE
from workbench.app import WorkbenchApp
from workbench.goodbye import goodbye
from workbench.settings import load_settings


def offered(user) -> str:
    """The line of the offer, where it is in sight."""
    line = user.app.screen.query_one(OfferLine)
    return user.line(OfferLine) if line.display else ""


def opened(tiny_folder, name: str) -> WorkbenchApp:
    """The workbench as `--session NAME` opens it."""
    session = Session.open(name, writable=True)
    workspace = unmeasured()
    workspace.take_up(session)
    return WorkbenchApp(workspace, load_settings(model=str(tiny_folder), device="cpu"), session)


async def test_a_sweep_stopped_by_quitting_is_named_offered_and_gone_on_with(
    live, gate, tiny_folder
):
    async with driving(live()) as user:
        await user.settled()
        assert not offered(user)
        await user.press("r")
        gate.let(2)
        await user.until(lambda: user.here == "heads" and user.result.done == 2)
        await user.press("1", "Q")
        await user.press("y")
        await user.until(lambda: not user.app.is_running)
    kept, go_on = goodbye(user.app.runs, None)
    assert kept == f" kept in session add1-1: sweep stopped at 2 of {HEADS_IN_ALL} heads"
    words = ["workbench", "--session", "add1-1", "--model", str(tiny_folder)]
    assert shlex.split(go_on.partition(":")[2]) == words

    async with driving(opened(tiny_folder, "add1-1")) as user:
        assert (user.here, user.result.name) == ("heads", "001-heads")
        assert offered(user).startswith(f"sweep stopped at 2 of {HEADS_IN_ALL} heads")

    gate.let_all()
    async with driving(live()) as user:
        await user.until(lambda: offered(user))
        assert f"sweep stopped at 2 of {HEADS_IN_ALL} heads · add1-1 · " in offered(user)
        await user.press("enter")
        assert (user.here, user.result.name) == ("heads", "001-heads")
        await user.until(lambda: user.result.state == "done")
        assert not offered(user)
        session = Session.open("add1-1")
        assert [each.done_rows for each in session.steps] == [HEADS_IN_ALL]
        assert session.is_written
    assert goodbye(user.app.runs, None)[0] == " kept in session add1-1: 1 step"


def test_a_case_that_was_looked_at_alone_is_still_the_one_at_hand():
    prompts = task("add1")
    alone = PromptSet(name="prompt", prompts=prompts.prompts[20:21])
    other = PromptSet.single("the sum of")
    workspace = unmeasured()
    for asked, case in ((prompts, 0), (alone, 20), (prompts, 20), (other, 0)):
        workspace.go_to_case(AttendStep(prompts=asked, heads=(HeadRef(0, 0),)))
        assert workspace.case == case
        assert workspace.prompts == (other if asked is other else prompts)


@pytest.fixture
def interrupted(on_tiny):
    """A session whose second step was left by a process that was killed."""
    on_tiny("heads", "--task", "add1", "--heads", "L0H0", "--session", "mine", "--json")
    on_tiny("heads", "--task", "add1", "--heads", "L0H1", "--session", "mine", "--json")
    file = Session.open("mine").step(2).folder / "step.json"
    file.write_text(file.read_text("utf-8").replace('"done"', '"running"'), "utf-8")
    return "mine"


async def test_another_key_puts_an_offer_away_and_does_what_it_does(interrupted, live):
    async with driving(live()) as user:
        await user.until(lambda: offered(user))
        assert "sweep interrupted at 1 of 1 heads · mine · " in offered(user)
        await user.press("2")
        assert (user.here, offered(user)) == ("heads", "")
        assert not user.workspace.results


async def test_nothing_is_offered_of_what_another_process_writes_or_where_it_is_turned_off(
    interrupted, live
):
    async def offers(**settings) -> bool:
        async with driving(live(**settings)) as user:
            await user.app.workers.wait_for_complete()
            return bool(offered(user))

    with Session.open(interrupted, writable=True):
        assert not await offers()
    assert not await offers(offer_unfinished=False)
    assert await offers()


async def test_a_replay_opens_where_it_was_left_else_at_what_is_unfinished_else_at_the_end(
    interrupted, replaying, live
):
    async with driving(replaying(interrupted)) as user:
        assert user.result.name == "002-heads"
    own_example("example")
    (Session.open("example").folder / DESK_FILE).unlink()
    async with driving(replaying("example")) as user:
        assert user.result.name == "005-project"
        await user.press("left_square_bracket", "7")
        user.table.move_to(interrupted)
        await user.press("enter")
        assert user.result.name == "002-heads"
        await user.press("7")
        user.table.move_to("example")
        await user.press("enter")
        assert user.result.name == "004-project"
        await user.press("c")
        assert user.result.name == "004-project"
    assert not (Session.open("mine").folder / DESK_FILE).exists()


async def test_what_is_staged_stays_with_its_session_and_is_said(live, tiny_folder):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("x", "down", "x", "Q")  # asks nothing: nothing is lost
        await user.until(lambda: not user.app.is_running)
    async with driving(opened(tiny_folder, "add1-1")) as user:
        assert "L0H0,L0H1 zeroed: still staged. 6 shows it" in user.notices
        await user.press("6")
        assert staged_names(user) == ["L0H0", "L0H1"]
        await user.press("u")
        assert user.notices[-1] == "There is nothing to undo."


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"schema": 1, "step": 3}',
        b'{"schema": 99}',
        b'{"schema": 1, "staged": ["[red]L0H0[/]"]}',
        b'{"schema": 1, "staged": ["L0H0=nan"]}',
        b'{"schema": 1, "staged": ["L99H0"]}',
        b'{"schema": 1, "staged": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
    ids=["empty", "a list", "no step", "newer", "no part", "no number", "no such head", "deep"],
)
async def test_a_desk_that_cannot_be_used_is_passed_over_in_one_line(document, replaying):
    (own_example() / DESK_FILE).write_bytes(document)
    async with driving(replaying("mine")) as user:
        assert user.result.name == "005-project"
        (line,) = user.notices
        assert line.startswith("how session mine was left is not known: desk.json, ")
        assert "\n" not in line
