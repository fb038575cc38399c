"""One column of a frame table: where its values come from and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.style import Style

from screens.text import Align


def plain(value: Any) -> str:
    """A value as it is; a missing one as nothing."""
    return "" if value is None else str(value)


@dataclass(frozen=True)
class TableColumn:
    """How one column of a frame is shown."""

    name: str
    """The frame's column."""
    label: str
    width: int
    """Cells, without the gap to the next column; the least width of a growing one."""
    align: Align = "left"
    format: Callable[[Any], str] = plain
    grow: bool = False
    """Takes a share of the space that is left."""
    most: int | None = None
    """Cells that a growing column takes at most, so that what stands beside it stays near."""
    style: Callable[[Any], Style | None] | None = None
    """Ink of a cell by its value."""
    min_terminal_width: int = 0
    """The column is hidden in narrower terminals."""
    sort_by: tuple[str, ...] = ()
    """Columns to sort by in its place, as layer and index for a name."""
    descending: bool | None = None
    """First direction of sorting; None: numbers from the largest, text from A."""
    estimated: str = ""
    """Boolean column that tells which values are estimates; empty: the table's for all columns."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A column in the space it got."""

    column: TableColumn
    width: int


GAP = 2
"""Blank cells between columns."""


def place(columns: Sequence[TableColumn], terminal: int, width: int) -> list[Placed]:
    """Choose the columns to show and share out the space.

    Columns that do not fit are dropped from the right, the first never.

    Args:
        columns: all columns, in order.
        terminal: width of the terminal, which decides what is worth showing.
        width: cells there are for the columns.
    """
    shown = [column for column in columns if terminal >= column.min_terminal_width]
    while len(shown) > 1 and _needed(shown) > width:
        shown.pop()
    spare = max(0, width - _needed(shown))
    growing = sum(column.grow for column in shown)
    placed = []
    for column in shown:
        extra = 0
        if column.grow:
            extra = spare // growing
            if column.most is not None:
                extra = min(extra, max(0, column.most - column.width))
            spare -= extra
            growing -= 1
        placed.append(Placed(column, column.width + extra))
    return placed


def _needed(columns: Sequence[TableColumn]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def sort_order(
    frame: pl.DataFrame, column: TableColumn, descending: bool, rows: pl.Series | None = None
) -> pl.Series:
    """The frame's row numbers in the order of a column.

    Missing values and NaN come last in both directions; ties keep the frame's order.

    Args:
        frame: the rows.
        column: what to sort by.
        descending: largest first.
        rows: only these row numbers; None: all.
    """
    part = frame if rows is None else frame.select(_keys(frame, column))[rows]
    keys = _sort_keys(part, _keys(frame, column))
    order = part.select(
        pl.arg_sort_by(keys, descending=descending, nulls_last=True, maintain_order=True)
    ).to_series()
    return order if rows is None else rows.gather(order)


def first_descending(frame: pl.DataFrame, column: TableColumn) -> bool:
    """The direction a column is first sorted in."""
    if column.descending is not None:
        return column.descending
    return column.name in frame.columns and frame.schema[column.name].is_numeric()


def _keys(frame: pl.DataFrame, column: TableColumn) -> list[str]:
    wanted = column.sort_by or (column.name,)
    return [name for name in wanted if name in frame.columns]


def _sort_keys(frame: pl.DataFrame, names: Sequence[str]) -> list[pl.Expr]:
    """What to sort by; two small whole numbers, as layer and index, go in one key.

    One key sorts several times faster, which a model's third of a million neurons need.
    """
    if len(names) == 2 and all(frame.schema[name] == pl.Int32 for name in names):
        first, second = (pl.col(name).cast(pl.Int64) for name in names)
        return [first * 2**32 + second]
    return [_sortable(frame, name) for name in names]


def _sortable(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype, values = frame.schema[name], pl.col(name)
    if isinstance(dtype, pl.List):
        return values.list.first()
    return values.fill_nan(None) if dtype.is_float() else values
