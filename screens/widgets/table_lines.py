"""The lines of a frame table as segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style

from screens.text import cell_fit
from screens.widgets.table_column import GAP, Placed
from screens.widgets.table_rows import Row

GUTTER = 2
"""Cells left of the first column: the cursor's bar and the mark."""


@dataclass(frozen=True, slots=True)
class TableLines:
    """Draws headers and rows in the table's styles."""

    placed: Sequence[Placed]
    header_style: Style
    sorted_style: Style
    row_style: Style
    estimated_style: Style
    cursor_style: Style
    """Only its background counts: the row keeps its own ink under the cursor."""
    bar: Style
    mark: Style

    def header(self, sorted_by: str | None, descending: bool) -> list[Segment]:
        """The labels, with an arrow on the column that orders the rows."""
        segments = [Segment(" " * GUTTER, self.header_style)]
        for placed in self.placed:
            column, style = placed.column, self.header_style
            label = column.label
            if column.name == sorted_by:
                arrow, style = "▼" if descending else "▲", self.sorted_style
                # Beside a right-aligned label the arrow goes left, so the digits stay below it.
                label = f"{arrow}{label}" if column.align == "right" else f"{label}{arrow}"
            text = cell_fit(label, placed.width, column.align)
            segments += [Segment(text, style), Segment(" " * GAP, self.header_style)]
        return segments

    def row(
        self, row: Row, *, estimated: bool, marked: bool, cursor: bool, width: int
    ) -> list[Segment]:
        """One row: bar, mark and cells."""
        style = self.estimated_style if estimated else self.row_style
        if cursor:
            style += Style(bgcolor=self.cursor_style.bgcolor)
        segments = [
            Segment("▌" if cursor else " ", style + self.bar),
            Segment("●" if marked else " ", style + self.mark),
        ]
        for placed in self.placed:
            segments += [self._cell(placed, row, style, estimated), Segment(" " * GAP, style)]
        used = GUTTER + sum(placed.width + GAP for placed in self.placed)
        segments.append(Segment(" " * max(0, width - used), style))
        return segments

    def _cell(self, placed: Placed, row: Row, style: Style, estimated: bool) -> Segment:
        column, value = placed.column, row.get(placed.column.name)
        text = column.format(value)
        if column.estimated:
            estimated = bool(row.get(column.estimated))
            style += Style(color=(self.estimated_style if estimated else self.row_style).color)
        if estimated and isinstance(value, float):
            text = f"~{text}"
        ink = column.style(value) if column.style is not None else None
        if ink is not None:
            style += ink
        return Segment(cell_fit(text, placed.width, column.align), style)
