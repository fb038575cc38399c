"""Rows beside rows: does a step say again what was recorded?"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from analysis.step import Step


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

    def holds(self, tolerance: float) -> bool:
        """Whether the rows are the same and their numbers differ by no more than that."""
        return self.missing == self.added == 0 and self.difference <= tolerance


def compare(step: Step, recorded: pl.DataFrame, again: pl.DataFrame) -> Agreement:
    """Compare two frames of a step, row by row as its key names them."""
    key = step.key
    both = recorded.join(again, on=key, how="inner", suffix="_again")
    fickle = {column.name for column in step.columns if not column.repeats}
    numbers = [
        name for name, dtype in recorded.schema.items() if _is_float(dtype) and name not in fickle
    ]
    return Agreement(
        rows=recorded.height,
        missing=recorded.join(again, on=key, how="anti").height,
        added=again.join(recorded, on=key, how="anti").height,
        difference=max((_difference(both, name) for name in numbers), default=0.0),
    )


def _is_float(dtype: pl.DataType) -> bool:
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return isinstance(inner, pl.DataType) and inner.is_float()


def _difference(both: pl.DataFrame, name: str) -> float:
    first, second = (_flat(both[each]) for each in (name, f"{name}_again"))
    if len(first) != len(second):
        return float("inf")
    pair = pl.DataFrame({"first": first, "second": second}).filter(
        pl.col("first").ne_missing(pl.col("second"))
    )
    largest = pair.select((pl.col("first") - pl.col("second")).abs().max()).item()
    if pair.height and (largest is None or largest != largest):
        return float("inf")
    unequal = pair.filter(pl.any_horizontal(pl.all().is_null() | pl.all().is_nan()))
    return float("inf") if unequal.height else float(largest or 0.0)


def _flat(values: pl.Series) -> pl.Series:
    flat = values.explode() if isinstance(values.dtype, pl.List) else values
    return flat.cast(pl.Float64)
