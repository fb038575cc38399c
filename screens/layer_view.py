"""Layer-by-layer results as tables: what each layer adds, and the logit-lens grid."""

from __future__ import annotations

from functools import partial
from typing import Any

import polars as pl
from rich.style import Style

from screens.text import number, probability, visible
from screens.widgets.table_column import TableColumn

_nats = partial(number, decimals=3)
_signed = partial(number, decimals=3, sign=True)
LAYER = TableColumn("name", "layer", 6, sort_by=("layer",), descending=False)


def gains_view(rows: pl.DataFrame) -> tuple[list[TableColumn], pl.DataFrame]:
    """Columns and rows of the layer gains, gains drawn as bars beside their numbers."""
    largest = max(
        (abs(value) for name in ("attention", "ffn") for value in rows[name].to_list()),
        default=1.0,
    )
    bar = partial(_bar, largest=largest or 1.0)
    columns = [
        LAYER,
        TableColumn("attention", "attention", 9, "right", _signed),
        TableColumn("attention_bar", "", 14, format=bar, min_terminal_width=76),
        TableColumn("ffn", "FFN", 9, "right", _signed),
        TableColumn("ffn_bar", "", 14, format=bar, min_terminal_width=76),
        TableColumn("logprob", "log-prob", 9, "right", _nats),
    ]
    return columns, rows.with_columns(attention_bar=pl.col("attention"), ffn_bar=pl.col("ffn"))


def _bar(value: Any, largest: float) -> str:
    """A gain as a bar to the right of an axis, a loss to the left."""
    if value is None:
        return ""
    length = round(abs(value) / largest * 6)
    return f"{'█' * length:>6}│" if value < 0 else f"{'':6}│{'█' * length}"


def lens_view(rows: pl.DataFrame) -> tuple[list[TableColumn], pl.DataFrame]:
    """One row a layer, the last first; one column a position, the last first so that it stays."""
    positions = rows["position"].unique(maintain_order=True).sort(descending=True).to_list()
    grid = rows.select("layer").unique().with_columns(name=pl.format("L{}", "layer"))
    columns = [LAYER]
    for place in positions:
        here = rows.filter(pl.col("position") == place)
        column = f"at_{place}"
        grid = grid.join(
            here.select(
                "layer",
                pl.struct("token", "prob").alias(column),
                *([pl.col("answer_prob")] if place == positions[0] else []),
            ),
            on="layer",
            how="left",
        )
        label = f"{visible(here['reads'][0], quote=False)}"
        columns.append(TableColumn(column, label, 9, format=_cell, style=_strength))
        if place == positions[0]:
            answer = TableColumn("answer_prob", "answer", 7, "right", probability)
            columns.append(answer)
    return columns, grid.sort("layer", descending=True)


def _cell(value: Any) -> str:
    return "" if value is None else visible(str(value["token"]), quote=False)


def _strength(value: Any) -> Style | None:
    """Sure predictions stand out, faint ones step back."""
    if value is None:
        return None
    if value["prob"] >= 0.5:
        return Style(bold=True)
    return Style(dim=True) if value["prob"] < 0.1 else None
