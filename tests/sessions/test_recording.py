"""Running steps into a session."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import polars as pl
import pytest
from counting_step import CountingStep, FakeModel, expected_rows, model_info
from polars.testing import assert_frame_equal

from analysis.errors import Cancelled, InputError, WorkbenchError
from sessions import Finished, Rows, Session, Started, record


def stop_after(batches: int, error: BaseException) -> FakeModel:
    def before_batch(number: int) -> None:
        if number == batches:
            raise error

    return FakeModel(before_batch)


def test_a_step_is_announced_then_its_rows_then_its_end(session, model):
    started, *batches, finished = record(session, CountingStep(), model)
    assert isinstance(started, Started)
    assert (started.recorded.id, started.expected, started.done) == ("001-counting", 10, 0)
    assert [batch.done for batch in batches] == [3, 6, 9, 10]
    assert all(isinstance(batch, Rows) and batch.expected == 10 for batch in batches)
    assert batches[-1].remaining_seconds == 0
    assert isinstance(finished, Finished)
    assert finished.seconds >= batches[-1].elapsed - 1e-3 > -1


def test_what_was_recorded_is_read_back_by_another(session, model):
    list(record(session, CountingStep(estimated=True), model))
    recorded = Session.open("s").step(1)
    assert recorded.step == CountingStep(estimated=True)
    assert recorded.info.state == "done"
    assert recorded.info.baseline == {"value": 1.5, "prob": math.inf}
    assert recorded.estimates().columns == ["name", "estimate"]
    assert recorded.keys() == {f"n{n}" for n in range(10)}
    assert recorded.done_rows == recorded.info.expected == 10
    assert recorded.size_bytes > 0
    assert_frame_equal(recorded.rows(), expected_rows(range(10)))


def test_a_part_is_on_disk_before_its_rows_are_seen(session, model):
    seen = []
    for update in record(session, CountingStep(), model):
        if isinstance(update, Rows):
            seen.append(update.frame)
            elsewhere = Session.open("s").step(1)
            assert elsewhere.info.state == "running"
            assert_frame_equal(elsewhere.rows(), pl.concat(seen))


def test_a_refused_argument_leaves_nothing_behind(session, model):
    before = sorted(os.listdir(session.folder))
    with pytest.raises(InputError, match="cannot count to -1"):
        list(record(session, CountingStep(count=-1), model))
    assert sorted(os.listdir(session.folder)) == before
    assert session.steps == []


def test_a_step_without_rows_reads_as_an_empty_frame_with_its_columns(session, model):
    list(record(session, CountingStep(count=0), model))
    assert_frame_equal(session.step(1).rows(), expected_rows([]))


def test_steps_are_numbered_in_order(session, model):
    for count in (1, 2, 3):
        list(record(session, CountingStep(count=count), model))
    assert [recorded.id for recorded in session.steps] == [f"00{n}-counting" for n in (1, 2, 3)]
    assert session.step("002-counting").step.count == session.step(2).step.count == 2
    with pytest.raises(InputError, match="no step 9; it has 001-counting, 002"):
        session.step(9)


def test_closing_the_iterator_stops_the_step_and_keeps_what_is_finished(session, model):
    updates = record(session, CountingStep(), model)
    next(updates), next(updates)
    updates.close()
    assert model.closed
    assert session.step(1).info.state == "stopped"
    assert session.step(1).info.seconds > 0
    assert_frame_equal(session.step(1).rows(), expected_rows(range(3)))


@pytest.mark.parametrize("error", [Cancelled("stopped"), KeyboardInterrupt()], ids=repr)
def test_a_cancelled_step_is_stopped_and_says_so_to_the_caller(session, error):
    with pytest.raises(type(error)):
        list(record(session, CountingStep(), stop_after(2, error)))
    assert session.step(1).info.state == "stopped"
    assert_frame_equal(session.step(1).rows(), expected_rows(range(6)))


def test_a_failed_step_keeps_its_rows_and_one_line_of_why(session):
    with pytest.raises(ZeroDivisionError):
        list(record(session, CountingStep(), stop_after(1, ZeroDivisionError("by\nzero"))))
    assert session.step(1).info.state == "failed"
    assert session.step(1).info.error == "ZeroDivisionError: by zero"
    assert session.step(1).done_rows == 3


def test_a_step_stopped_before_its_first_rows_leaves_nothing(session):
    with pytest.raises(Cancelled):
        list(record(session, CountingStep(), stop_after(0, Cancelled("now"))))
    assert session.steps == []
    assert [each.name for each in session.folder.iterdir() if each.is_dir()] == []


@pytest.mark.parametrize("stopped_after", range(1, 4))
def test_a_resumed_step_equals_an_uninterrupted_one(session, model, stopped_after):
    with pytest.raises(Cancelled):
        list(record(session, CountingStep(), stop_after(stopped_after, Cancelled("now"))))
    before = session.step(1).info
    started, *_, finished = record(session, CountingStep(), model, resume=session.step(1))
    assert started.done == min(3 * stopped_after, 10)
    assert model.asked == [f"n{n}" for n in range(started.done, 10)]
    assert finished.seconds > before.seconds
    assert len(session.steps) == 1
    assert session.step(1).info.state == "done"
    assert session.step(1).info.started == before.started
    assert_frame_equal(session.step(1).rows(), expected_rows(range(10)))


def test_a_step_resumes_only_with_its_own_parameters_and_model(session, model):
    list(record(session, CountingStep(), model))
    with pytest.raises(InputError, match="other parameters"):
        list(record(session, CountingStep(count=11), model, resume=session.step(1)))
    model.info = model_info(dtype="bfloat16")
    with pytest.raises(InputError, match="dtype float32, not toy with bfloat16"):
        list(record(session, CountingStep(), model, resume=session.step(1)))


def test_a_step_of_another_session_is_not_resumed_here(session, model):
    list(record(session, CountingStep(), model))
    with (
        Session.create("other", model.info, seed=7) as other,
        pytest.raises(InputError, match="not a step of session other"),
    ):
        list(record(other, CountingStep(), model, resume=session.step(1)))


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({"name": ["n0"]}, "no column value"),
        ({"name": ["n0"], "value": [1.0], "worth": [1.0]}, "a column worth, which its step does"),
    ],
)
def test_a_frame_that_breaks_the_steps_promise_is_not_recorded(
    session, model, monkeypatch, frame, reason
):
    monkeypatch.setattr("counting_step.expected_rows", lambda numbers: pl.DataFrame(frame))
    with pytest.raises(WorkbenchError, match=reason):
        list(record(session, CountingStep(), model))
    assert session.step(1).info.state == "failed"
    assert session.step(1).done_rows == 0


def test_nothing_is_recorded_into_a_session_open_for_reading(session, model):
    with pytest.raises(WorkbenchError, match="session s is open for reading only"):
        list(record(Session.open("s"), CountingStep(), model))


@pytest.mark.parametrize("room", range(12))
def test_a_full_disk_loses_no_acknowledged_row(session, model, monkeypatch, room):
    fsync, writes = os.fsync, iter(range(1000))

    def full(descriptor: int) -> None:
        if next(writes) >= room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    acknowledged = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        updates = record(session, CountingStep(), model)
        with pytest.raises(WorkbenchError, match="No space left on device"):
            acknowledged.extend(update.frame for update in updates if isinstance(update, Rows))
    session.close()
    with Session.open("s", writable=True) as again:
        assert again.notices == []
        if not again.steps:
            assert not acknowledged
            return
        recorded = again.step(1)
        assert recorded.info.state in ("failed", "interrupted")
        rows = recorded.rows()
        found = pl.concat(acknowledged) if acknowledged else expected_rows([])
        assert_frame_equal(rows.head(found.height), found)
        list(record(again, CountingStep(), model, resume=recorded))
        assert_frame_equal(recorded.rows(), expected_rows(range(10)))


def parts(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*"))


def test_a_finished_step_is_one_part(session, model):
    list(record(session, CountingStep(), model))
    assert parts(session.step(1).folder) == ["part-00000.parquet"]


@pytest.mark.parametrize("unlinked", range(4))
def test_a_crash_while_merging_parts_loses_and_doubles_nothing(
    session, model, monkeypatch, unlinked
):
    left, unlink = [unlinked], Path.unlink

    def crash(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("part-"):
            if left[0] == 0:
                raise KeyboardInterrupt
            left[0] -= 1
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", crash)
        try:
            list(record(session, CountingStep(), model))
        except KeyboardInterrupt:
            assert len(parts(session.step(1).folder)) == 4 - unlinked
    recorded = Session.open("s").step(1)
    assert recorded.info.state == "done"
    assert recorded.done_rows == 10
    assert_frame_equal(recorded.rows(), expected_rows(range(10)))


def test_a_reader_follows_while_parts_are_merged(session, model):
    updates = record(session, CountingStep(), model)
    reader = None
    for _ in updates:
        reader = reader or Session.open("s").step(1)
        rows = reader.rows()
        assert_frame_equal(rows, expected_rows(range(rows.height)))
    assert reader.rows().height == 10
    assert reader.info.state == "done"


def test_rows_of_an_earlier_definition_are_not_gone_on_with(session, model):
    with pytest.raises(InputError, match="stop"):
        list(record(session, CountingStep(), stop_after(2, InputError("stop"))))
    session.amend(session.step(1), edition=CountingStep.edition - 1)
    begun = session.step(1)
    with pytest.raises(InputError, match="001-counting was computed by edition 1 .*since then"):
        list(record(session, CountingStep(), model, resume=begun))
    assert session.find(CountingStep()) is None
    list(record(session, CountingStep(), model))
    assert session.find(CountingStep()).id == "002-counting"
    assert session.step(1).done_rows == 6
    later = Session.open("s")
    assert [each.info.edition for each in later.steps] == [1, 2]
    assert any("since then" in line for line in later.notices)
