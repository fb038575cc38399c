"""Driving an experiment of the paper in a test."""

from __future__ import annotations

from collections.abc import Callable

from analysis.paper.outcome import Outcome
from analysis.paper.registry import TABLES
from analysis.paper.scale import Scale
from analysis.step import Found, Step


def outcome_of(table: str, scale: Scale, answer: Callable[[Step], Found]) -> Outcome:
    """Answer what a table's experiment asks for, one step after the other."""
    experiment = TABLES[table].measure(scale)
    try:
        step = next(experiment)
        while True:
            step = experiment.send(answer(step))
    except StopIteration as end:
        return end.value
