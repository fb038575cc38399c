"""Two sessions side by side."""

from __future__ import annotations

import polars as pl
import pytest
from counting_step import CountingStep, FakeModel, model_info

from sessions import Session, record
from sessions.compare import diff
from sessions.parts import part_path, write_frame


@pytest.fixture
def other(model: FakeModel) -> Session:
    """A session like `session`, of the same model in half precision, with two steps."""
    info = model_info(dtype="bfloat16", versions={"torch": "2.7"})
    session = Session.create("t", info, seed=7)
    for count in (10, 5):
        list(record(session, CountingStep(count=count), FakeModelOf(info)))
    return session


class FakeModelOf(FakeModel):
    def __init__(self, info: object) -> None:
        super().__init__()
        self.info = info


def test_a_session_differs_from_itself_in_nothing(session, model):
    list(record(session, CountingStep(), model))
    list(record(session, CountingStep(), model))
    found = diff(session, Session.open("s"))
    assert found.same
    assert [pair.second.id for pair in found.pairs] == ["002-counting"]
    example = Session.open("example:addition")
    assert diff(example, example).same


def test_a_step_whose_rows_are_lost_is_not_compared(session, model, other):
    list(record(session, CountingStep(), model))
    part = part_path(session.step(1).folder, 0)
    part.write_bytes(part.read_bytes()[:500])
    found = diff(session, other)
    (pair,) = found.pairs
    assert (pair.agreement, pair.same, found.same) == (None, False, False)
    assert pair.reason == "001-counting of s is damaged, 0 of 10 rows can be read"
    session.close()


def test_facts_of_the_model_and_steps_in_one_only_are_told(session, model, other):
    for count in (3, 10):
        list(record(session, CountingStep(count=count), model))
    found = diff(session, other)
    assert found.model == {"dtype": ("float32", "bfloat16"), "version of torch": ("–", "2.7")}
    assert [(pair.first.id, pair.second.id) for pair in found.pairs] == [
        ("002-counting", "001-counting")
    ]
    assert [each.id for each in found.only_first] == ["001-counting"]
    assert [each.id for each in found.only_second] == ["002-counting"]
    assert found.pairs[0].same
    assert not found.same


def test_rows_that_differ_are_measured_and_their_places_compared(session, model, other):
    list(record(session, CountingStep(count=10), model))
    step = other.step(1)
    # n2 is second of sin(0) … sin(9); below all others it is last.
    moved = pl.when(name=pl.lit("n2")).then(-2.0).otherwise("value")
    write_frame(part_path(step.folder, 0), step.rows().with_columns(value=moved))
    (pair,) = diff(session, other).pairs
    found = pair.agreement
    assert found.difference == pytest.approx(2.0 + 0.9092974268)
    assert (found.column, found.top, found.entered, found.left) == ("value", 10, (), ())
    assert found.moved == 9


def test_of_several_records_of_a_step_the_last_finished_counts(session, model):
    for _ in range(2):
        list(record(session, CountingStep(), model))
    updates = record(session, CountingStep(), model)
    next(updates)
    updates.close()
    (pair,) = diff(session, session).pairs
    assert pair.first.id == "002-counting"


def test_an_unfinished_step_is_compared_as_far_as_it_goes(session, model, other):
    updates = record(session, CountingStep(count=10), model)
    next(updates), next(updates)
    updates.close()
    (pair,) = diff(session, other).pairs
    assert (pair.agreement.missing, pair.agreement.added, pair.agreement.difference) == (0, 7, 0)
    assert not pair.same
