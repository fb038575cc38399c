"""Measuring the paper's tables into a session: what is there already is not computed again."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import polars as pl

from analysis.errors import WorkbenchError
from analysis.paper.measuring import Measuring
from analysis.paper.outcome import Found
from sessions import RecordedStep, Session, record

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.step import Step
    from analysis.steps import TableStep

RunStep = Callable[["Step", RecordedStep | None], RecordedStep]
"""Records a step to its end, going on with a record of it that is not finished."""


def measure(session: Session, table: TableStep, model: Model, run: RunStep) -> RecordedStep:
    """Measure a table, step by step.

    Args:
        session: open for writing; finished steps found in it are used, unfinished ones resumed.
        table: what to measure.
        model: what to measure it on.
        run: how a step is recorded.

    Returns:
        The table's own record.
    """
    known = session.find(table)
    if known is not None and known.state == "done":
        return known
    measuring = Measuring(table)
    while (step := measuring.wanted) is not None:
        measuring.answer(found(step, _finished(session, step, run)))
    assert measuring.outcome is not None
    for _ in record(session, table, model, resume=known, work=table.measured(measuring.outcome)):
        pass
    recorded = session.find(table)
    assert recorded is not None
    return recorded


def derived(session: Session, table: TableStep) -> pl.DataFrame:
    """A table's rows once more, from the steps of the session it was measured in.

    Raises:
        WorkbenchError: the session lacks one of them.
    """
    measuring = Measuring(table)
    while (step := measuring.wanted) is not None:
        known = session.find(step)
        if known is None or known.state != "done":
            raise WorkbenchError(f"session {session.name} lacks a step of {table.table}")
        measuring.answer(found(step, known))
    assert measuring.outcome is not None
    return measuring.outcome.frame()


def found(step: Step, recorded: RecordedStep) -> Found:
    """A recorded step as an experiment reads it."""
    return Found(step, step.ranked(recorded.rows()), recorded.info.baseline)


def _finished(session: Session, step: Step, run: RunStep) -> RecordedStep:
    known = session.find(step)
    if known is not None and known.state == "done":
        return known
    return run(step, known)
