"""The lines of a head map as segments: labels that stay, and cells that scroll beside them."""

from __future__ import annotations

from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style

from analysis.refs import HeadRef
from screens.widgets.cell_paint import ABSENT, CellPaint
from screens.widgets.head_grid import HeadGrid
from screens.widgets.head_layout import HeadLayout

Line = tuple[list[Segment], list[Segment]]
"""What stands in the gutter, and the unscrolled rest of the line."""


@dataclass(frozen=True, slots=True)
class HeadLines:
    """Draws one map at one moment."""

    grid: HeadGrid
    layout: HeadLayout
    paint: CellPaint
    cursor: HeadRef
    label: Style
    label_cursor: Style

    def header(self, more: str) -> Line:
        """The layer numbers, with arrows in the corner where the map goes on out of sight."""
        layout, column = self.layout, 0
        body: list[Segment] = []
        for layer in range(layout.layers):
            text = str(layer) if layer == self.cursor.layer else layout.tick(layer)
            start = layer * layout.pitch
            if text is None or start < column or self._crowds_cursor(layer, text):
                continue
            style = self.label_cursor if layer == self.cursor.layer else self.label
            body += [Segment(" " * (start - column), self.label), Segment(text, style)]
            column = start + len(text)
        body.append(Segment(" " * max(0, layout.size.width - layout.gutter - column), self.label))
        return [Segment(more.ljust(layout.gutter), self.label)], body

    def row(self, row: int) -> Line:
        """One line of cells with the name of its head."""
        layout, grid, cursor = self.layout, self.grid, self.cursor
        upper, lower = layout.heads_of(row)
        here = cursor.index in (upper, lower)
        first = row == layout.row_of(upper)
        name = f"H{cursor.index}" if here and first else layout.label(row)
        gutter = [
            Segment(name.ljust(layout.gutter - 1), self.label_cursor if here else self.label),
            self._gap(row, 0, here),
        ]
        body: list[Segment] = []
        for layer in range(layout.layers):
            top = grid.look(layer, upper, cursor)
            if layout.halves:
                bottom = ABSENT if lower is None else grid.look(layer, lower, cursor)
                body += self.paint.halves(top, bottom, layout.fill, layout.gap)
            else:
                look = top if first else top._replace(marked=False)
                body += self.paint.whole(look, layout.fill, layout.gap)
            if layout.gap:
                body.append(self._gap(row, layer + 1, here))
        return gutter, body

    def bars(self) -> Line:
        """Below each layer a bar for the strongest value in it, on the map's scale."""
        layout = self.layout
        body: list[Segment] = []
        for layer in range(layout.layers):
            look, share = self.grid.strongest(layer)
            body.append(self.paint.bar(look, share, layout.fill))
            if layout.gap:
                body.append(Segment(" " * layout.gap, self.paint.blank))
        return [Segment(" " * layout.gutter, self.label)], body

    def _crowds_cursor(self, layer: int, text: str) -> bool:
        """Whether a layer number would run into the one at the cursor."""
        here = self.cursor.layer
        if layer == here:
            return False
        left = (layer, text) if layer < here else (here, str(here))
        return abs(layer - here) * self.layout.pitch <= len(left[1])

    def _gap(self, row: int, layer: int, here: bool) -> Segment:
        """The gap left of `layer`, with a bracket if the cursor is beside it."""
        if not here or not self.layout.gap:
            return Segment(" ", self.paint.blank)
        upper, lower = self.layout.heads_of(row)
        whole = not self.layout.halves
        return self.paint.bracket(
            whole or self.cursor.index == upper,
            whole or self.cursor.index == lower,
            closes=self.cursor.layer == layer - 1,
            opens=self.cursor.layer == layer,
        )
