"""Sessions that were damaged, tampered with, or written by another program."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from counting_step import CountingStep, FakeModel, expected_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from analysis.columns import Column
from analysis.errors import Cancelled, WorkbenchError
from sessions import Rows, Session, list_sessions, record
from sessions.parts import write_frame


@pytest.fixture
def folder(session: Session, model: FakeModel) -> Path:
    """A session with a finished step of one part and a stopped one of three."""
    list(record(session, CountingStep(estimated=True), model))
    for update in record(session, CountingStep(count=12), model):
        if isinstance(update, Rows) and update.done == 9:
            break
    session.close()
    return session.folder


def edit(path: Path, change: Callable[[dict], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def test_a_part_cut_short_is_set_aside_and_the_rest_is_read(folder):
    part = folder / "002-counting/part-00001.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    session = Session.open("s")
    assert_frame_equal(session.step(2).rows(), expected_rows([0, 1, 2, 6, 7, 8]))
    assert session.step(2).done_rows == 6
    (notice,) = session.notices
    assert notice.startswith("002-counting/part-00001.parquet is set aside: it is ")
    assert part.exists()


def test_a_single_flipped_bit_is_noticed_wherever_it_is(folder):
    part = folder / "001-counting/part-00000.parquet"
    data = part.read_bytes()
    for position in range(0, len(data), 97):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        part.write_bytes(flipped)
        assert Session.open("s").step(1).rows().is_empty()


def test_resuming_finds_the_rows_of_a_damaged_part_again_and_leaves_it_alone(folder, model):
    part = folder / "002-counting/part-00001.parquet"
    part.write_bytes(b"damaged")
    with Session.open("s", writable=True) as session:
        list(record(session, session.step(2).step, model, resume=session.step(2)))
        rows = session.step(2).rows()
        assert_frame_equal(rows.sort("name"), expected_rows(range(12)).sort("name"))
    assert part.read_bytes() == b"damaged"


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (pl.DataFrame({"name": ["n1"]}), "it has no column value"),
        (expected_rows([1]).cast({"value": pl.String}), "its column value holds String"),
    ],
)
def test_a_part_of_another_kind_of_step_is_set_aside(folder, frame, reason):
    write_frame(folder / "002-counting/part-00003.parquet", frame)
    session = Session.open("s")
    assert session.step(2).done_rows == 9
    assert reason in session.notices[0]


def test_a_part_of_another_program_is_set_aside(folder):
    expected_rows([99]).write_parquet(folder / "002-counting/part-00003.parquet")
    session = Session.open("s")
    assert session.step(2).done_rows == 9
    assert "was not written by workbench" in session.notices[0]


def test_a_column_declared_after_a_step_was_recorded_is_null_there(folder, monkeypatch):
    before = Session.open(folder.name).step(2).rows()
    told = expected_rows([9]).with_columns(later=pl.lit("now"))
    later = Column("later", pl.String, "told since", later=True)
    monkeypatch.setattr(CountingStep, "columns", (*CountingStep.columns, later))
    session = Session.open(folder.name)
    rows = session.step(2).rows()
    assert rows.drop("later").equals(before)
    assert rows["later"].null_count() == rows.height
    # Gone on with, the step has parts with and without the column.
    write_frame(folder / "002-counting/part-00003.parquet", told)
    assert session.step(2).rows()["later"].to_list() == [None] * 9 + ["now"]
    assert session.notices == []


def test_columns_of_a_later_version_are_ignored(folder):
    extra = expected_rows([9]).with_columns(later=pl.lit(1))
    write_frame(folder / "002-counting/part-00003.parquet", extra)
    assert_frame_equal(Session.open("s").step(2).rows(), expected_rows(range(10)))


def test_of_rows_with_the_same_key_the_later_one_counts(folder):
    again = expected_rows([4]).with_columns(value=pl.lit(0.25))
    write_frame(folder / "002-counting/part-00003.parquet", again)
    rows = Session.open("s").step(2).rows()
    assert rows.height == 9
    assert rows.filter(name="n4")["value"].to_list() == [0.25]


def test_a_damaged_step_is_set_aside_and_the_others_open(folder):
    (folder / "001-counting/step.json").write_text("{")
    session = Session.open("s")
    assert [recorded.id for recorded in session.steps] == ["002-counting"]
    assert "step 001-counting is set aside: it is damaged" in session.notices[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda step: step.update(schema=2), "newer workbench (schema 2, this one reads up to 1)"),
        (lambda step: step["params"].update(kind="later"), "unknown step kind 'later'"),
        (lambda step: step["params"].update(count="many"), "step counting: count: "),
        (lambda step: step.update(kind="heads"), "kind heads with parameters of counting"),
        (lambda step: step.update(state="dreaming"), "it is damaged (state: "),
    ],
)
def test_a_step_that_this_version_cannot_read_is_set_aside(folder, change, reason):
    edit(folder / "001-counting/step.json", change)
    session = Session.open("s")
    assert [recorded.id for recorded in session.steps] == ["002-counting"]
    assert reason in session.notices[0]


def test_a_session_of_a_newer_schema_is_refused_politely(folder):
    edit(folder / "session.json", lambda session: session.update(schema=2))
    with pytest.raises(WorkbenchError, match=r"cannot open session s: .* newer workbench \(schema"):
        Session.open("s")
    assert "newer workbench" in list_sessions()[0].problem


def test_a_session_without_a_readable_record_is_refused_in_one_line(folder):
    (folder / "session.json").write_bytes(b"\xff" * 100)
    with pytest.raises(WorkbenchError, match="cannot open session s: it is damaged") as caught:
        Session.open("s")
    assert "\n" not in str(caught.value)


def test_a_step_damaged_while_it_is_followed_stays_as_it_was_last_seen(folder):
    session = Session.open("s")
    recorded = session.step(1)
    (folder / "001-counting/step.json").write_text("{")
    assert recorded.info.state == "done"
    assert "001-counting/step.json is set aside" in session.notices[0]


def test_links_are_not_followed_out_of_the_session(folder, tmp_path):
    outside = tmp_path / "outside"
    shutil.copytree(folder, outside)
    part = folder / "002-counting/part-00000.parquet"
    part.unlink()
    part.symlink_to(outside / "002-counting/part-00000.parquet")
    (folder / "003-counting").symlink_to(outside / "001-counting")
    shutil.rmtree(folder / "001-counting")
    (folder / "001-counting").mkdir()
    (folder / "001-counting/step.json").symlink_to(outside / "001-counting/step.json")
    session = Session.open("s")
    assert [recorded.id for recorded in session.steps] == ["002-counting"]
    assert_frame_equal(session.step(2).rows(), expected_rows(range(3, 9)))
    assert len(session.notices) == 3
    assert list_sessions()[0].kinds == ("counting",)


def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder):
    part = folder / "002-counting/part-00000.parquet"
    part.unlink()
    os.mkfifo(part)
    (folder / "001-counting/step.json").unlink()
    os.mkfifo(folder / "001-counting/step.json")
    session = Session.open("s")
    (readable,) = session.steps
    assert readable.done_rows == 6
    assert len(session.notices) == 2


def test_deeply_nested_json_is_only_damaged_json(folder):
    (folder / "001-counting/step.json").write_text("[" * 200_000)
    assert len(Session.open("s").steps) == 1


def everything(base: Path) -> None:
    """Look at all there is to see of the session, then work on it."""
    for summary in list_sessions(base):
        assert summary.age_seconds >= 0
    with Session.open("s", root=base, writable=True) as session:
        for recorded in session.steps:
            true = expected_rows(range(12))
            rows = recorded.rows()
            assert_frame_equal(rows, true.filter(pl.col("name").is_in(recorded.keys())))
            assert recorded.done_rows == rows.height
            assert recorded.info.state
            recorded.estimates()
            if recorded.step.count < 20:
                list(record(session, recorded.step, FakeModel(), resume=recorded))


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_damage_brings_more_than_a_clear_error(folder, tmp_path, data):
    base = tmp_path / "damaged"
    shutil.rmtree(base, ignore_errors=True)
    shutil.copytree(folder.parent, base)
    (tmp_path / "sentinel").write_text("untouched")
    outside = sorted(path for path in tmp_path.rglob("*") if base not in path.parents)
    files = sorted(path for path in (base / "s").rglob("*") if path.is_file())
    for _ in range(data.draw(st.integers(1, 3), label="mutations")):
        path = data.draw(st.sampled_from(files), label="file")
        raw = bytearray(path.read_bytes())
        how = data.draw(st.sampled_from(["cut", "flip", "insert", "replace", "zero"]), label="how")
        place = data.draw(st.integers(0, max(len(raw) - 1, 0)), label="place")
        if how == "cut":
            del raw[place:]
        elif how == "flip" and raw:
            raw[place] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "insert":
            raw[place:place] = data.draw(st.binary(max_size=8))
        elif how == "replace":
            raw = bytearray(data.draw(st.binary(max_size=64)))
        elif how == "zero":
            raw[place:] = bytes(len(raw) - place)
        path.write_bytes(raw)
    try:
        everything(base)
        problem = "none"
    except WorkbenchError as error:
        problem = str(error)
    assert len(problem.splitlines()) == 1
    assert sorted(path for path in tmp_path.rglob("*") if base not in path.parents) == outside
    assert (tmp_path / "sentinel").read_text() == "untouched"


SEAL = b"workbench-sha256:"


def sealed(forged: bytearray, start: int) -> bytes:
    """A forged part with a seal that fits it; `start` is where the sum stands."""
    forged[start : start + 64] = b"0" * 64
    return bytes(forged[:start]) + sha256(forged).hexdigest().encode() + bytes(forged[start + 64 :])


def test_a_forged_part_that_passes_its_seal_still_raises_nothing_else(folder):
    """A seal guards against accidents; whoever forges a part can seal it too."""
    path = folder / "002-counting/part-00001.parquet"
    data = path.read_bytes()
    chance = random.Random(1)
    start = data.rindex(SEAL) + len(SEAL)
    for _ in range(60):
        forged = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            forged[chance.randrange(len(forged))] = chance.randrange(256)
        path.write_bytes(sealed(forged, start))
        recorded = Session.open("s").step(2)
        assert recorded.rows().columns == expected_rows([]).columns
        recorded.keys()


def test_a_resumed_step_can_be_stopped_and_resumed_again(folder):
    def before_batch(number: int) -> None:
        if number:
            raise Cancelled("now")

    with Session.open("s", writable=True) as session:
        step = CountingStep(count=12)
        (folder / "002-counting/part-00000.parquet").write_bytes(b"")
        with pytest.raises(Cancelled):
            list(record(session, step, FakeModel(before_batch), resume=session.step(2)))
        assert session.step(2).info.state == "stopped"
        list(record(session, step, FakeModel(), resume=session.step(2)))
        assert session.step(2).keys() == {f"n{n}" for n in range(12)}


def test_a_finished_step_that_lost_rows_is_damaged_until_it_is_gone_on_with(folder, model):
    part = folder / "001-counting/part-00000.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[:500])
    recorded = Session.open("s").step(1)
    assert (recorded.info.state, recorded.state, recorded.listed_state) == (
        "done",
        *["damaged"] * 2,
    )
    assert list_sessions()[0].states == ("damaged", "stopped")
    with Session.open("s", writable=True) as session:
        step = CountingStep(estimated=True)
        list(record(session, step, model, resume=session.find(step)))
        assert session.step(1).state == session.step(1).listed_state == "done"
        assert_frame_equal(session.step(1).rows(), expected_rows(range(10)))
    assert list_sessions()[0].states == ("done", "stopped")
    assert part.read_bytes() == whole[:500]


def test_a_finished_step_without_its_only_part_is_damaged(folder):
    (folder / "001-counting/part-00000.parquet").unlink()
    recorded = Session.open("s").step(1)
    assert recorded.state == recorded.listed_state == "damaged"


def test_of_two_records_the_one_that_is_whole_is_found(folder, model):
    with Session.open("s", writable=True) as session:
        step = CountingStep(estimated=True)
        list(record(session, step, model))
        assert session.find(step).id == "003-counting"
        part = folder / "003-counting/part-00000.parquet"
        flipped = bytearray(part.read_bytes())
        flipped[60] ^= 1
        part.write_bytes(flipped)
        assert session.step(3).listed_state == "done"  # nothing is missing at its end
        assert session.find(step).id == "001-counting"


def test_steps_that_cannot_be_read_are_named(folder):
    (folder / "001-counting/step.json").write_text("{")
    assert Session.open("s").unreadable == ["001-counting"]


def test_a_list_says_the_worst_of_a_session_first(folder):
    (condition,) = [each.condition for each in list_sessions()]
    assert condition == "1 stopped, 1 done"
    (folder / "001-counting/part-00000.parquet").write_bytes(b"")
    assert list_sessions()[0].condition == "1 damaged, 1 stopped"
    (folder / "002-counting/step.json").write_text("{")
    assert list_sessions()[0].condition == "2 damaged"
    edit(folder / "session.json", lambda session: session.update(schema=2))
    assert "newer workbench" in list_sessions()[0].condition
