"""Following a session while it is written: rows and steps appear, and the end is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import driving
from tiny_folder import HEADS_IN_ALL

from analysis.steps import HeadsStep, NeuronsStep
from analysis.tasks.standard import task
from screens.widgets.lines import ProgressLine, StatusLine
from screens.workspace import OnDisk, Workspace
from sessions import Follower, Rows, Session, record
from sessions.documents import SessionWriter
from sessions.lock import WRITER_FILE
from workbench.app import WorkbenchApp
from workbench.settings import load_settings

PROMPTS = task("add1", shots=1)
SWEEP = HeadsStep(prompts=PROMPTS)


@pytest.fixture(autouse=True)
def _brisk(monkeypatch):
    """Looks come quickly, and sweeps have many batches."""
    monkeypatch.setattr("workbench.player.LOOK_EVERY", 0.02)
    monkeypatch.setattr("analysis.methods.heads.BATCH_TOKENS", {"cpu": 1})


@pytest.fixture
def written(tiny_model):
    """A session that process 4242 holds for writing, without a step yet."""
    with Session.create("mine", tiny_model.info, seed=0) as session:
        writer = SessionWriter.read(session.folder / WRITER_FILE).model_copy(update={"pid": 4242})
        writer.write(session.folder / WRITER_FILE)
        yield session


@pytest.fixture
def following(tiny_folder):
    """Makes a workbench that follows the session."""

    def make() -> WorkbenchApp:
        session = Session.open("mine")
        workspace, follower = Workspace(PROMPTS), Follower(session)
        workspace.replay(session)
        settings = load_settings(model=str(tiny_folder), device="cpu")
        return WorkbenchApp(workspace, settings, follower=follower)

    return make


def some(updates, batches: int) -> int:
    """Let a step write so many batches; returns the rows on disk."""
    while batches:
        update = next(updates)
        batches -= isinstance(update, Rows)
    return update.done


async def test_rows_and_steps_appear_as_they_reach_the_disk(written, following, tiny_model):
    async with driving(following()) as user:
        assert user.here == "sessions"
        assert user.line(StatusLine).find("following · process 4242") > 0
        sweep = record(written, SWEEP, tiny_model)
        done = some(sweep, 2)
        await user.until(lambda: user.here == "heads")
        await user.until(lambda: user.result.rows.height == done)
        assert f"{done} of {HEADS_IN_ALL}" in user.line(ProgressLine)
        assert "esc stops" not in user.line(ProgressLine)
        done = some(sweep, 3)
        await user.until(lambda: user.result.rows.height == done)
        for _ in sweep:
            pass
        await user.until(lambda: user.result.state == "done")
        assert user.result.rows.height == HEADS_IN_ALL
        list(record(written, NeuronsStep(prompt=PROMPTS.prompts[0]), tiny_model))
        await user.until(lambda: user.here == "neurons")
        written.close()
        await user.until(lambda: user.workspace.following == "process 4242 ended")


async def test_who_stepped_back_is_left_where_he_is(written, following, tiny_model):
    list(record(written, SWEEP, tiny_model))
    list(record(written, NeuronsStep(prompt=PROMPTS.prompts[0]), tiny_model))
    async with driving(following()) as user:
        assert user.here == "neurons"
        await user.press("left_square_bracket")
        assert user.here == "heads"
        list(record(written, NeuronsStep(prompt=PROMPTS.prompts[1]), tiny_model))
        await user.until(lambda: len(user.workspace.results) == 3)
        assert user.here == "heads"
        await user.press("right_curly_bracket")
        assert user.result.name == "003-neurons"
        await user.press("left_curly_bracket")
        assert user.result.name == "001-heads"


async def test_a_writer_that_died_is_said_and_c_then_goes_on(
    written, following, tiny_model, monkeypatch
):
    sweep = record(written, SWEEP, tiny_model)
    done = some(sweep, 3)
    async with driving(following()) as user:
        assert user.result.state == "running"
        await user.press("c")
        assert user.notices[-1].startswith("session mine is being written by process 4242")
        assert "workbench replay mine" in user.notices[-1]
        assert user.workspace.replaying
        with monkeypatch.context() as patch:  # who is killed gives its lock back, and no more
            patch.setattr(Path, "unlink", lambda *given, **how: None)
            written.close()
        await user.until(lambda: user.workspace.following == "process 4242 died")
        assert (written.folder / WRITER_FILE).exists()
        assert (user.result.state, user.result.rows.height) == ("interrupted", done)
        await user.press("c")
        await user.settled()
        assert not user.workspace.following
        await user.press("r")
        await user.until(lambda: user.result.state == "done")
        assert user.result.rows.height == HEADS_IN_ALL
        assert len(user.workspace.results) == 1
    assert [each.info.state for each in Session.open("mine").steps] == ["done"]
    sweep.close()


async def test_a_note_is_not_asked_for_while_another_process_writes(written, following, tiny_model):
    sweep = record(written, SWEEP, tiny_model)
    some(sweep, 2)
    async with driving(following()) as user:
        await user.press("N")
        assert user.notices[-1] == "process 4242 writes it: notes wait until that ends."
        assert user.here == "heads"
    sweep.close()


async def test_screen_7_tells_who_writes_a_session_and_enter_follows_it(
    live, written, tiny_model, monkeypatch
):
    list(record(written, SWEEP, tiny_model))
    async with driving(live(model="./nowhere")) as user:
        await user.press("7")
        assert user.table.current_key == "mine"
        assert user.table.current["state"] == "being written"
        words = " process 4242 writes it; enter follows it live"
        assert user.text("#about") == words
        await user.press("enter")
        await user.until(lambda: user.here == "heads")
        assert user.workspace.following == "following · process 4242"


async def test_a_session_that_is_removed_meanwhile_is_said(written, following, tiny_model):
    import shutil

    list(record(written, SWEEP, tiny_model))
    async with driving(following()) as user:
        assert user.result.rows.height == HEADS_IN_ALL
        shutil.rmtree(written.folder)
        await user.until(lambda: "cannot read session mine" in user.workspace.following)
        assert user.result.rows.height == HEADS_IN_ALL


def test_a_step_removed_before_it_is_looked_at_is_damaged_and_empty(written, tiny_model):
    import shutil

    list(record(written, SWEEP, tiny_model))
    held = OnDisk(Session.open(written.folder).step(1))
    shutil.rmtree(written.folder)
    assert (held.state, held.done, held.rows.height) == ("damaged", 0, 0)
    assert held.rows.columns == [column.name for column in SWEEP.columns]
    assert held.estimates is None


def test_a_look_tells_only_of_what_has_changed(written, tiny_model):
    follower = Follower(written)
    assert follower.look() == []
    sweep = record(written, SWEEP, tiny_model)
    some(sweep, 1)
    assert [each.id for each in follower.look()] == ["001-heads"]
    assert follower.look() == []
    some(sweep, 1)
    assert [each.id for each in follower.look()] == ["001-heads"]
    sweep.close()
    assert [each.info.state for each in follower.look()] == ["stopped"]
    assert follower.look() == []
    assert follower.writer == "process 4242"
