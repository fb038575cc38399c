"""A disk that is full: what was acknowledged stays, and one line says what happened."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import polars as pl
import pytest
from counting_step import CountingStep, expected_rows
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL

from analysis.errors import WorkbenchError
from sessions import Rows, Session, list_sessions, record

resource = pytest.importorskip("resource")

STEP = CountingStep(count=400, batch=40, estimated=True)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """The system refuses to write more than so many bytes to a file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 600, 2_000, 4_000, 6_000])
def test_a_write_the_system_refuses_loses_no_acknowledged_row(session, model, size):
    acknowledged = [expected_rows([])]
    error = None
    with no_file_larger_than(size):
        try:
            for update in record(session, STEP, model):
                if isinstance(update, Rows):
                    acknowledged.append(update.frame)
        except WorkbenchError as refused:
            error = str(refused)
    if size > 2_000:
        # Parts take less, so only merging them is refused: tidying can wait for more room.
        assert error is None
        assert len(list(session.step(1).folder.glob("part-*"))) == 10
    else:
        assert error is not None
        assert error.startswith("cannot write ")
        assert error.endswith("File too large")
    session.close()
    with Session.open("s", writable=True) as again:
        assert again.notices == []
        resumed = again.step(1) if again.steps else None
        found = expected_rows([]) if resumed is None else resumed.rows()
        assert_frame_equal(found.head(len(pl.concat(acknowledged))), pl.concat(acknowledged))
        list(record(again, STEP, model, resume=resumed))
        assert_frame_equal(again.step(1).rows(), expected_rows(range(400)))
    assert not list(session.folder.rglob(".new-*"))


def test_on_the_command_line_it_is_one_line_and_the_sweep_goes_on_later(
    workbench, on_tiny, tiny_folder, monkeypatch
):
    on_tiny("heads", "--task", "add1", "--session", "whole", "--json")
    monkeypatch.setattr("analysis.methods.heads.BATCH_TOKENS", {"cpu": 1})
    fsync, calls = os.fsync, iter(range(1_000_000))

    def full(descriptor: int) -> None:
        if next(calls) > 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        flags = ["--session", "half", "--model", tiny_folder, "--device", "cpu"]
        outcome = workbench("heads", "--task", "add1", *flags)
    assert (outcome.code, outcome.out) == (1, "")
    last = outcome.err.splitlines()[-1]
    # Which file meets the full disk first depends on the clock.
    assert re.fullmatch(
        r"workbench: cannot write (part-\d+\.parquet|step\.json): No space left on device", last
    )
    assert "Traceback" not in outcome.err
    kept = Session.open("half").step(1).done_rows
    assert 0 < kept < HEADS_IN_ALL
    assert {each.name: each.states for each in list_sessions()}["half"][0] != "done"
    on_tiny("resume", "half", "--json")
    rows = [Session.open(name).step(1).rows().sort("name") for name in ("whole", "half")]
    assert_frame_equal(*rows, abs_tol=1e-5)
