"""Rows beside rows: does a step say again what was recorded?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.step import Step

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
