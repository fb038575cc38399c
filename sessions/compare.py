"""Rows beside rows, and sessions beside sessions: does one say what the other does?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.step import Step
from sessions.identity import differing
from sessions.recorded import RecordedStep
from sessions.session import Session

TOP = 10
"""Rows at the head of a step's own ranking whose places are compared."""

_AGAIN = "__again"
_NTH = "__nth"


@dataclass(frozen=True)
class Agreement:
    """How two frames of one step agree."""

    rows: int
    """Rows recorded."""
    missing: int
    """Recorded rows that are not among the new ones."""
    added: int
    """New rows that are not among the recorded ones."""
    difference: float
    """Largest absolute difference of a number, in its column's own unit; infinite where one is
    missing or not a number on one side only."""
    column: str | None = None
    """Where that difference is; None: there is none."""
    top: int = 0
    """How many rows at the head of the recorded ranking were looked for in the new one."""
    moved: int = 0
    """How many of these have another place now."""
    entered: tuple[str, ...] = ()
    """Keys of the new top rows that were not among them."""
    left: tuple[str, ...] = ()
    """Keys of those that are no longer among the top rows."""

    def holds(self, tolerance: float) -> bool:
        """Whether the rows are the same and their numbers differ by no more than that."""
        return self.missing == self.added == 0 and self.difference <= tolerance


def compare(step: Step, recorded: pl.DataFrame, again: pl.DataFrame) -> Agreement:
    """Compare two frames of a step, row by row as its key names them."""
    if recorded.equals(again):  # quick, and mostly so
        return Agreement(recorded.height, 0, 0, 0.0, top=min(recorded.height, TOP))
    first, second = _numbered(recorded, step.key), _numbered(again, step.key)
    on = [step.key, _NTH]
    both = first.join(second, on=on, how="inner", suffix=_AGAIN)
    fickle = {column.name for column in step.columns if not column.repeats}
    numbers = [
        name for name, dtype in recorded.schema.items() if _is_float(dtype) and name not in fickle
    ]
    column = max(numbers, key=lambda name: _difference(both, name), default=None)
    difference = 0.0 if column is None else _difference(both, column)
    return Agreement(
        rows=recorded.height,
        missing=first.join(second, on=on, how="anti").height,
        added=second.join(first, on=on, how="anti").height,
        difference=difference,
        column=column if difference else None,
        **_places(step, recorded, again),
    )


def _numbered(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """Rows of one key told apart by their order: a token may be at both ends of a projection."""
    return rows.with_columns(pl.int_range(pl.len()).over(key).alias(_NTH))


def _places(step: Step, recorded: pl.DataFrame, again: pl.DataFrame) -> dict[str, Any]:
    """What became of the top rows of a step's ranking."""
    before, after = (_top(step, rows) for rows in (recorded, again))
    return {
        "top": len(before),
        "moved": sum(
            name != other for name, other in itertools.zip_longest(before, after[: len(before)])
        ),
        "entered": tuple(name for name in after if name not in before),
        "left": tuple(name for name in before if name not in after),
    }


def _top(step: Step, rows: pl.DataFrame) -> list[str]:
    # By key first, so that rows which are equal in the ranking have the same places in both.
    ranked = step.ranked(rows.sort(step.key))
    return ranked[step.key].head(TOP).cast(pl.String).to_list()


def _is_float(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.DataType) and inner.is_float()


def _difference(both: pl.DataFrame, name: str) -> float:
    first, second = (_flat(both[each]) for each in (name, f"{name}{_AGAIN}"))
    if len(first) != len(second):
        return math.inf
    pair = pl.DataFrame({"first": first, "second": second}).filter(
        pl.col("first").ne_missing(pl.col("second"))
    )
    largest = pair.select((pl.col("first") - pl.col("second")).abs().max()).item()
    if pair.height and (largest is None or largest != largest):
        return math.inf
    unequal = pair.filter(pl.any_horizontal(pl.all().is_null() | pl.all().is_nan()))
    return math.inf if unequal.height else float(largest or 0.0)


def _flat(values: pl.Series) -> pl.Series:
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    return flat.cast(pl.Float64)


@dataclass(frozen=True)
class Pair:
    """A step that both sessions have, with the same parameters."""

    first: RecordedStep
    second: RecordedStep
    agreement: Agreement | None
    """The rows of the second beside those of the first; None: rows of one are lost."""

    @property
    def steps(self) -> tuple[RecordedStep, RecordedStep]:
        """Both records."""
        return self.first, self.second

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.agreement is not None and self.agreement.holds(0.0)

    @property
    def reason(self) -> str | None:
        """Why they are not compared, if they are not."""
        if self.agreement is not None:
            return None
        lost = [
            f"{each.id} of {each.folder.parent.name} is damaged, {each.done_rows:,} of "
            f"{each.info.expected:,} rows can be read"
            for each in self.steps
            if each.state == "damaged"
        ]
        return "; ".join(lost)


@dataclass(frozen=True)
class Diff:
    """In what two sessions differ."""

    model: dict[str, tuple[str, str]]
    """Facts about the model that are not the same."""
    pairs: Sequence[Pair]
    """Steps in both, as the first has them in order."""
    only_first: Sequence[RecordedStep]
    only_second: Sequence[RecordedStep]

    @property
    def same(self) -> bool:
        """Whether they hold the same steps with the same rows, of the same model."""
        return not (self.model or self.only_first or self.only_second) and all(
            pair.same for pair in self.pairs
        )


def diff(first: Session, second: Session) -> Diff:
    """Compare two sessions step by step.

    Of a step that a session has several times, with the same parameters, the last finished record
    counts. Rows of a step that is not finished are compared as far as they go; of one that is
    damaged not at all.

    Raises:
        WorkbenchError: one of them cannot be read.
    """
    ours, theirs = _by_parameters(first), _by_parameters(second)
    pairs = [
        Pair(step, theirs[key], _agreement(step, theirs[key]))
        for key, step in ours.items()
        if key in theirs
    ]
    return Diff(
        model=differing(first.info.model, second.info.model),
        pairs=pairs,
        only_first=[step for key, step in ours.items() if key not in theirs],
        only_second=[step for key, step in theirs.items() if key not in ours],
    )


def _agreement(first: RecordedStep, second: RecordedStep) -> Agreement | None:
    if "damaged" in (first.state, second.state):
        return None
    return compare(first.step, first.rows(), second.rows())


def _by_parameters(session: Session) -> dict[str, RecordedStep]:
    """The steps of a session by their JSON."""
    found: dict[str, RecordedStep] = {}
    for recorded in session.steps:
        key = recorded.step.model_dump_json()
        known = found.get(key)
        if known is None or known.state != "done" or recorded.state == "done":
            found[key] = recorded
    return found
