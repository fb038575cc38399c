"""Notes on sessions and steps."""

from __future__ import annotations

import json

import pytest
from counting_step import CountingStep, FakeModel, expected_rows
from polars.testing import assert_frame_equal

import sessions
from analysis.errors import InputError, WorkbenchError
from sessions import Session, list_sessions, record
from sessions.documents import MAX_NOTE


def test_notes_are_on_disk_for_the_next_reader(session, model):
    list(record(session, CountingStep(), model))
    session.note("the second try")
    session.note("  odd at the end \n\nlook again\n", step=1)
    again = Session.open("s")
    assert again.info.note == session.info.note == list_sessions()[0].note == "the second try"
    assert again.step(1).info.note == "odd at the end\n\nlook again"
    session.note("", step="001-counting")
    assert again.step(1).info.note == ""
    assert_frame_equal(again.step(1).rows(), expected_rows(range(10)))


def test_a_note_on_a_step_under_way_is_kept_and_so_is_the_step(session, model):
    updates = record(session, CountingStep(), model)
    next(updates), next(updates)
    session.note("while it runs", step=1)
    assert session.step(1).info.state == "running"
    list(updates)
    info = Session.open("s").step(1).info
    assert (info.note, info.state) == ("while it runs", "done")
    assert info.seconds > 0


def test_resuming_keeps_the_note(session, model):
    updates = record(session, CountingStep(), model)
    next(updates), next(updates)
    updates.close()
    session.note("half of it", step=1)
    list(record(session, CountingStep(), model, resume=session.step(1)))
    assert Session.open("s").step(1).info.note == "half of it"


def test_a_session_nobody_writes_is_taken_for_a_moment(session, model):
    list(record(session, CountingStep(), model))
    session.close()
    reader = Session.open("s")
    reader.note("later", step=1)
    reader.note("all of it")
    assert (reader.info.note, reader.step(1).info.note) == ("all of it", "later")
    assert not reader.is_written
    with Session.open("s", writable=True):
        pass


def test_a_session_that_somebody_writes_takes_no_note_of_another(session):
    with pytest.raises(WorkbenchError, match="session s is being written by process"):
        Session.open("s").note("me too")


@pytest.mark.parametrize(
    ("text", "reason"), [("x" * (MAX_NOTE + 1), "up to 10,000 characters"), ("\ud800", "UTF-8")]
)
def test_what_is_no_note_is_refused_and_the_old_one_kept(session, text, reason):
    session.note("old")
    with pytest.raises(InputError, match=reason):
        session.note(text)
    assert Session.open("s").info.note == "old"


def test_a_note_on_no_step_is_refused(session):
    with pytest.raises(InputError, match="session s has no step 4"):
        session.note("lost", step=4)


def test_an_example_takes_no_note(session, monkeypatch):
    session.close()
    monkeypatch.setattr(sessions.paths, "examples_root", lambda: session.folder.parent)
    with pytest.raises(InputError, match="is an example and cannot be changed"):
        Session.open("example:s").note("mine")


def test_a_note_that_cannot_be_written_leaves_the_old_one(session, model, monkeypatch):
    list(record(session, CountingStep(), model))
    session.note("old", step=1)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for step in (None, 1):
        with pytest.raises(WorkbenchError, match="No space left on device"):
            session.note("new", step=step)
    assert Session.open("s").step(1).info.note == "old"
    assert session.info.note == json.loads((session.folder / "session.json").read_text())["note"]


def test_many_notes_while_a_step_runs_harm_neither(session):
    """The recording thread and the one that takes notes write the same file."""
    import threading

    running = threading.Event()

    def noting() -> None:
        running.wait()
        for number in range(30):
            session.note(f"note {number}", step=1)

    thread = threading.Thread(target=noting)
    thread.start()
    model = FakeModel(lambda number: running.set())
    states = []
    for _ in record(session, CountingStep(count=60, batch=1), model):
        states.append(session.amend(session.step(1), seconds=1.0).state)
    thread.join()
    assert Session.open("s").step(1).info.note == "note 29"
    assert Session.open("s").step(1).info.state == "done"
    assert set(states[:-1]) == {"running"}
