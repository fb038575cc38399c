"""One writer at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from counting_step import CountingStep, FakeModel

from analysis.errors import WorkbenchError
from sessions import Session, list_sessions, record, remove_session

OTHER_PROCESS = """
import sys
from analysis.errors import WorkbenchError
from sessions import Session
try:
    with Session.open("s", writable=True):
        print("open for writing")
except WorkbenchError as error:
    print(error)
"""


def in_another_process() -> str:
    command = [sys.executable, "-c", OTHER_PROCESS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_second_process_is_told_who_writes_the_session(session):
    assert f"session s is being written by process {os.getpid()}" in in_another_process()
    session.close()
    assert in_another_process() == "open for writing\n"


def test_a_second_writer_in_the_same_process_is_refused_too(session):
    with pytest.raises(WorkbenchError, match="being written by process"):
        Session.open("s", writable=True)


def test_a_closed_session_can_be_written_by_the_next(session, model):
    session.close()
    session.close()
    with Session.open("s", writable=True) as again:
        assert again.notices == []
        list(record(again, CountingStep(), model))


def test_a_session_can_be_closed_by_another_thread_than_opened_it(session):
    thread = threading.Thread(target=session.close)
    thread.start()
    thread.join()
    with Session.open("s", writable=True) as again:
        assert again.writable


def test_readers_need_no_lock_and_leave_no_trace(session, model):
    list(record(session, CountingStep(), model))
    session.close()
    (session.folder / ".lock").unlink()
    before = sorted(session.folder.rglob("*"))
    reader = Session.open("s")
    assert reader.step(1).rows().height == 10
    assert not reader.is_written
    assert sorted(session.folder.rglob("*")) == before


def test_a_step_under_way_reads_as_running_while_its_writer_lives(session, model):
    updates = record(session, CountingStep(), model)
    next(updates)
    assert Session.open("s").step(1).info.state == "running"
    assert list_sessions()[0].states == ("running",)
    updates.close()


def test_a_session_that_is_being_written_is_not_removed(session):
    with pytest.raises(WorkbenchError, match="being written by process"):
        remove_session("s")
    assert session.folder.exists()


def test_a_lock_that_is_a_link_is_not_followed(session: Session, model: FakeModel, tmp_path: Path):
    session.close()
    outside = tmp_path / "outside"
    outside.write_text("untouched")
    (session.folder / ".lock").unlink()
    (session.folder / ".lock").symlink_to(outside)
    with pytest.raises(WorkbenchError, match="its lock is a link"):
        Session.open("s", writable=True)
    assert not Session.open("s").is_written
    assert outside.read_text() == "untouched"
