"""What every screen does with its tables: filter, sort, copy, and keep how they are looked at."""

from __future__ import annotations

from typing import ClassVar

import polars as pl
from rich.cells import cell_len
from textual import on
from textual.binding import BindingType
from textual.screen import Screen
from textual.widgets import Static

from screens.keys import shipped, unlisted
from screens.messages import CopyRequested
from screens.text import cell_fit, count, one_line, tab_separated
from screens.widgets.filter_input import FilterInput
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_view import put_back, view_of
from sessions import View

NAMES = ("name", "token", "prompt")
"""Columns that say what a row is called; where there is none of them, the first one does."""
MARGINS = 2
"""Blank columns left and right of a line."""
NOTHING_TO_COPY = "There is nothing to copy here yet."


class TableScreen(Screen[None]):
    """A screen whose table is filtered, sorted, copied and left as it is found again."""

    TABLE: ClassVar[str | None] = None
    """Selector of the table that `/` filters, where there is one."""
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("s", "sort", "Sort by the next column", id="rows.sort-by-the-next-column"),
            unlisted("S", "reverse", "Reverse the order", id="rows.reverse-the-order"),
            unlisted("ctrl+y", "copy_name", "Copy the name", id="rows.copy-the-name"),
            unlisted("y", "copy(False)", "Copy the row", id="rows.copy-the-row"),
            unlisted("Y", "copy(True)", "Copy all rows", id="rows.copy-all-rows"),
        ],
    )

    @property
    def table(self) -> FrameTable:
        """The table that `/` filters."""
        assert self.TABLE is not None
        return self.query_one(self.TABLE, FrameTable)

    def view(self) -> View:
        """How the result is looked at, as JSON: by tables, the cursor, order, filter and marks."""
        return {table.id or "": view_of(table) for table in self._tables()}

    def show_view(self, view: View) -> None:
        """Look at the result that way, as far as it fits; an empty view: as at first.

        It may come from anybody's file.
        """
        for table in self._tables():
            part = view.get(table.id or "")
            put_back(table, part if isinstance(part, dict) else {})

    def _tables(self) -> list[FrameTable]:
        """The tables that show rows of the result."""
        return [self.table] if self.TABLE else []

    def action_filter(self) -> None:
        """Narrow the table down."""
        self.query_one(FilterInput).open(self.table.filter_text, self.table.filter_example)
        self.show_filter()

    @on(FrameTable.Filtered)
    def show_filter(self) -> None:
        """Say which filter is in force and what it leaves, once its line is closed."""
        line, text = self.query_one("#filtered", Static), ""
        if self.TABLE and not self.query_one(FilterInput).is_open:
            table, body = self.table, self.query_one("#body")
            if body.display and table.filter_text:
                found = f": {table.found}"
                room = self.size.width - cell_len(found) - len("/ ") - MARGINS
                name = table.filter_text
                text = f"/ {cell_fit(name, min(cell_len(one_line(name)), room))}{found}"
        line.update(text)
        line.display = bool(text)

    @on(FilterInput.Changed)
    def _filter(self, event: FilterInput.Changed) -> None:
        problem = self.table.filter(event.text)
        self.query_one(FilterInput).set_note(problem or self.table.found, error=problem is not None)

    @on(FilterInput.Submitted)
    def _keep_filter(self, event: FilterInput.Submitted) -> None:
        problem = self.table.filter(event.text)
        if problem is None:
            self.table.focus()
        else:  # not in force, so the line stays to be put right
            self.query_one(FilterInput).open()
            self.query_one(FilterInput).set_note(problem, error=True)

    @on(FilterInput.Cancelled)
    def _drop_filter(self) -> None:
        self.table.filter("")
        self.table.focus()

    def action_sort(self) -> None:
        """Sort the table that has the keys by its next column."""
        if isinstance(table := self.focused, FrameTable):
            table.action_sort_next()

    def action_reverse(self) -> None:
        """Turn its order round."""
        if isinstance(table := self.focused, FrameTable):
            table.action_sort_reverse()

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row under the cursor, or all rows in sight, for the clipboard."""
        table = self.table if self.TABLE else None
        return None if table is None else table.copied(everything)

    def action_copy(self, everything: bool) -> None:
        """Put rows on the clipboard, tab-separated under a header."""
        rows = self.copied(everything)
        if rows is None or not rows.height:
            self.notify(NOTHING_TO_COPY)
            return
        what = "the row" if rows.height == 1 else f"{count(rows.height)} rows"
        self.post_message(CopyRequested(tab_separated(rows), what))

    def action_copy_name(self) -> None:
        """Put what the row under the cursor is called on the clipboard."""
        rows = self.copied(False)
        if rows is None or not rows.height:
            self.notify(NOTHING_TO_COPY)
            return
        named = [each for each in NAMES if each in rows.columns] or rows.columns
        text = tab_separated(rows.head(1).select(named[0])).splitlines()[-1]
        self.post_message(CopyRequested(text, text))
