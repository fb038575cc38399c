"""Recorded rows beside rows computed again."""

from __future__ import annotations

import math
from types import SimpleNamespace

import polars as pl

from analysis.columns import Column
from analysis.steps import CnaStep, HeadsStep
from sessions import Session
from sessions.compare import compare

HEADS = Session.open("example:addition").step(1)
CNA = Session.open("example:addition").step(2)


def test_the_same_rows_in_another_order_differ_by_nothing():
    for recorded, kind in ((HEADS, HeadsStep), (CNA, CnaStep)):
        assert isinstance(recorded.step, kind)
        rows = recorded.rows()
        found = compare(recorded.step, rows, rows.sample(fraction=1.0, shuffle=True, seed=1))
        assert (found.rows, found.missing, found.added, found.difference) == (len(rows), 0, 0, 0.0)
        assert found.holds(0.0)


def test_a_number_that_is_none_on_both_sides_is_the_same():
    rows = HEADS.rows().with_columns(logprob=pl.lit(math.nan), prob=pl.lit(None, pl.Float64))
    for again in (rows, rows.reverse()):
        found = compare(HEADS.step, rows, again)
        assert (found.difference, found.top, found.moved) == (0, 10, 0)


def test_the_largest_difference_of_any_number_is_found():
    rows = HEADS.rows()
    for name in ("logprob", "prob", "accuracy"):
        moved = rows.with_columns(
            pl.when(pl.col("name") == "L3H4").then(pl.col(name) - 0.25).otherwise(pl.col(name))
        )
        found = compare(HEADS.step, rows, moved)
        assert math.isclose(found.difference, 0.25)
        assert found.holds(0.3)
        assert not found.holds(0.2)


def test_numbers_of_single_prompts_count_too():
    rows = HEADS.rows()
    shifted = rows.with_columns(pl.col("prompt_logprob").list.eval(pl.element() + 1))
    assert math.isclose(compare(HEADS.step, rows, shifted).difference, 1.0, rel_tol=1e-5)


def test_what_became_of_the_top_rows_is_told():
    rows = HEADS.rows()
    ranking = HEADS.step.ranked(rows)["name"].to_list()
    third, eleventh = ranking[2], ranking[10]
    worst = rows[HEADS.step.ranked_by].min() - 1 if HEADS.step.descending else 1.0
    fallen = rows.with_columns(
        pl.when(name=pl.lit(third)).then(worst).otherwise(HEADS.step.ranked_by).alias("logprob")
    )
    assert HEADS.step.ranked_by == "logprob"
    found = compare(HEADS.step, rows, fallen)
    assert (found.top, found.moved) == (10, 8)
    assert (found.entered, found.left) == ((eleventh,), (third,))
    assert found.column == "logprob"
    same = compare(HEADS.step, rows, rows.reverse())
    assert (same.moved, same.entered, same.left, same.column) == (0, (), (), None)


def test_rows_of_one_key_are_compared_in_their_order():
    """A token can be at both ends of a projection."""
    columns = (Column("name", pl.String, "the row"), Column("logit", pl.Float64, "a number"))
    step = SimpleNamespace(key="name", columns=columns, ranked=lambda rows: rows)
    rows = pl.DataFrame({"name": ["a", "a"], "logit": [1.0, -1.0]})
    found = compare(step, rows, rows)
    assert (found.missing, found.added, found.difference) == (0, 0, 0)


def test_rows_that_are_there_once_are_counted():
    rows = HEADS.rows()
    found = compare(HEADS.step, rows.head(10), rows.slice(3, 10))
    assert (found.missing, found.added) == (3, 3)
    assert not found.holds(math.inf)


def test_a_number_that_is_none_or_nan_on_one_side_agrees_with_nothing():
    rows = HEADS.rows()
    for wrong in (None, math.nan):
        spoilt = rows.with_columns(
            pl.when(pl.col("name") == "L3H4")
            .then(pl.lit(wrong, pl.Float64))
            .otherwise(pl.col("logprob"))
            .alias("logprob")
        )
        assert compare(HEADS.step, rows, spoilt).difference == math.inf
        assert compare(HEADS.step, spoilt, spoilt).difference == 0


def test_times_are_no_numbers_to_compare():
    columns = (
        Column("name", pl.String, "the row"),
        Column("loss", pl.Float64, "a number"),
        Column("seconds", pl.Float64, "how long it took", "s", repeats=False),
    )
    step = SimpleNamespace(key="name", columns=columns, ranked=lambda rows: rows)
    rows = pl.DataFrame({"name": ["a"], "loss": [1.0], "seconds": [2.0]})
    slower = rows.with_columns(seconds=pl.lit(9.0))
    assert compare(step, rows, slower).difference == 0
    worse = slower.with_columns(loss=pl.lit(1.5))
    assert compare(step, rows, worse).difference == 0.5
