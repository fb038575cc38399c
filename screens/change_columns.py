"""Columns of screen 6: what is staged, and what was measured, trained or pruned."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl

from analysis.step import Step
from analysis.steps import LoraStep, PruneStep
from screens.text import count, number, visible
from screens.widgets.table_column import TableColumn


def _factor(value: Any) -> str:
    return "zeroed" if value == 0 else f"× {value:g}"


def _decimals(value: float | None) -> int:
    """Three figures behind the point of small numbers, fewer of large ones."""
    size = abs(value or 0)
    return 3 if size < 10 else 2 if size < 100 else 1


def _figure(value: Any, sign: bool = False) -> str:
    return number(value, _decimals(value), sign=sign)


def _percent(value: Any) -> str:
    return "" if value is None else f"{number(100 * value, 1)} %"


def _rate(value: Any) -> str:
    return "" if value is None else f"{value:g}"


def _tokens(value: Any) -> str:
    return " ".join(visible(token, quote=False) for token in value) if value else ""


_change = partial(_figure, sign=True)

STAGED = [
    TableColumn("name", "part", 10),
    TableColumn("factor", "", 8, format=_factor),
]
MEASURES = {
    "evaluate": [
        TableColumn("name", "measure", 16, grow=True, most=28),
        TableColumn("before", "before", 7, "right", _figure, min_terminal_width=80),
        TableColumn("after", "after", 7, "right", _figure),
        TableColumn("change", "change", 7, "right", _change, min_terminal_width=70),
        TableColumn("interval", "95 %", 18, min_terminal_width=100),
        TableColumn("control", "random", 7, "right", _figure),
        TableColumn("cases", "cases", 5, "right", min_terminal_width=110),
    ],
    "lora": [
        TableColumn("name", "layer", 14, grow=True, most=28, sort_by=("layer",), descending=False),
        TableColumn("accuracy", "tested", 7, "right", _percent),
        TableColumn("original_accuracy", "before", 7, "right", _percent),
        TableColumn("validation_accuracy", "valid.", 7, "right", _percent),
        TableColumn("train_loss", "loss", 6, "right", _figure),
        TableColumn("rate", "rate", 7, "right", _rate),
        TableColumn("epoch", "epoch", 5, "right", min_terminal_width=100),
    ],
    "prune": [
        TableColumn("name", "model", 15, grow=True, most=28),
        TableColumn("accuracy", "tested", 7, "right", _percent),
        TableColumn("kept", "kept", 7, "right", _percent),
        TableColumn("neurons", "neurons", 7, "right", count),
        TableColumn("parameters", "parameters", 11, "right", count, min_terminal_width=90),
        TableColumn("seconds", "s", 6, "right", _figure, min_terminal_width=100),
    ],
    "pairs": [
        TableColumn("name", "neuron", 10, sort_by=("layer", "neuron"), descending=False),
        TableColumn("importance_change", "change", 8, "right", _change),
        TableColumn("tokens", "says", 14, format=_tokens, grow=True),
    ],
}
"""By kind of step."""


def measured(step: Step, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as the table shows them: the ends of an interval as one column, no single cases."""
    rows = step.ranked(rows)
    if isinstance(step, PruneStep):
        return step.finished(rows)
    if isinstance(step, LoraStep):
        # What came of each layer stands above how it got there.
        return rows.sort(pl.col("accuracy").is_null(), maintain_order=True)
    if "change_low" not in rows.columns:
        return rows
    ends = pl.struct("change_low", "change_high")
    return rows.with_columns(interval=ends.map_elements(_interval, return_dtype=pl.String))


def _interval(ends: dict[str, float | None]) -> str:
    low, high = ends["change_low"], ends["change_high"]
    return "" if low is None or high is None else f"({_change(low)}…{_change(high)})"
