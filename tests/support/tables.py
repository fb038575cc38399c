"""A table of neurons to look at, some of whose tokens are hostile."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import polars as pl
from textual.app import App, ComposeResult
from textual.message import Message

from screens.text import number, visible
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn

HOSTILE = [
    "[red]bold[/red]",
    "line\nbreak",
    "\x1b[31mred",
    "\u202eright to left",
    "八八八八八八八八八八八八八八八八八八",
    "e\u0301" * 9,
    "\u200b",
    "\ufffd",
]


def decimals(value: float | None) -> str:
    return number(value, 3, sign=True)


def tokens(values: list[str] | None) -> str:
    return " ".join(visible(token, quote=False) for token in values or [])


COLUMNS = [
    TableColumn("name", "neuron", 10, sort_by=("layer", "neuron")),
    TableColumn("importance_change", "change", 9, "right", decimals),
    TableColumn("importance", "importance", 11, "right", decimals, min_terminal_width=90),
    TableColumn("tokens", "says", 12, format=tokens, grow=True),
]


def frame(rows: int, layers: int = 30, seed: int = 0) -> pl.DataFrame:
    """Neurons in the model's order with noise for values, some of them missing."""
    rng = random.Random(seed)
    each = -(-rows // layers)
    words = [" eight", "8", "octo", "VIII", *HOSTILE]
    return pl.DataFrame(
        {
            "layer": [row // each for row in range(rows)],
            "neuron": [row % each for row in range(rows)],
        }
    ).with_columns(
        pl.format("L{}N{}", "layer", "neuron").alias("name"),
        pl.Series(
            "importance_change",
            [rng.choice([None, float("nan"), rng.gauss(0, 1), 0.5]) for _ in range(rows)],
        ),
        pl.Series("importance", [rng.gauss(0, 1) for _ in range(rows)]),
        pl.Series("estimated", [rng.random() < 0.5 for _ in range(rows)]),
        pl.Series("tokens", [rng.sample(words, 3) for _ in range(rows)]),
    )


class TableApp(App[None]):
    """One table, keeping what it says."""

    BINDINGS: ClassVar = [("space", "mark"), ("s", "sort"), ("S", "reverse")]

    def __init__(
        self, data: pl.DataFrame, sort: str | None = "importance_change", **how: Any
    ) -> None:
        super().__init__()
        self.table = FrameTable(COLUMNS, estimated="estimated", sort=sort, **how)
        self.data = data
        self.said: list[Message] = []

    def action_mark(self) -> None:
        self.table.action_mark()

    def action_sort(self) -> None:
        self.table.action_sort_next()

    def action_reverse(self) -> None:
        self.table.action_sort_reverse()

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.set_frame(self.data)
        self.table.focus()

    def on_frame_table_row_highlighted(self, event: FrameTable.RowHighlighted) -> None:
        self.said.append(event)

    def on_frame_table_row_selected(self, event: FrameTable.RowSelected) -> None:
        self.said.append(event)

    def on_frame_table_filtered(self, event: FrameTable.Filtered) -> None:
        self.said.append(event)

    def on_frame_table_marks_changed(self, event: FrameTable.MarksChanged) -> None:
        self.said.append(event)


def shown_names(table: FrameTable) -> list[str]:
    """Every name in the order of the table, walking it row by row."""
    names = []
    for cursor in range(table.shown):
        table.cursor = cursor
        names.append(table.current_key or "")
    return names


def line(table: FrameTable, row: int) -> str:
    return table.render_line(1 + row - table.scroll_offset.y).text
