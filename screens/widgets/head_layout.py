"""Where each head lies in a map of layers (to the right) by heads (down)."""

from __future__ import annotations

from dataclasses import dataclass

from textual.geometry import Region, Size

HEADER = 1
"""Lines above the first row of heads: the layer numbers."""
LEAST_SCROLLED = 6
"""Lines of heads in sight from which a map that scrolls spares one for the layer bars."""


@dataclass(frozen=True, slots=True)
class HeadLayout:
    """The geometry of one map in one space; coordinates are those of the unscrolled map."""

    layers: int
    heads: int
    gutter: int
    """Columns of head labels at the left, with the blank one that ends them."""
    pitch: int
    """Columns from one layer to the next."""
    fill: int
    """Columns of each that carry colour; the rest is a gap."""
    halves: bool
    """Two heads share a line, as the upper and the lower half of its cells."""
    lines: int = 1
    """Lines of each head, where they do not share one."""
    footer: int = 0
    """Lines below the heads for the layer bars: none, the bars, or a blank line and the bars."""

    @classmethod
    def fit(
        cls, layers: int, heads: int, width: int, height: int, allow_halves: bool = True
    ) -> HeadLayout:
        """The roomiest layout that shows all of the map, or the densest one if none does."""
        high = max(1, height - HEADER)
        halves = allow_halves and heads > high
        # H, the digits, and the blank that a cursor bracket may use.
        gutter = 2 + len(str(max(heads - 1, 0)))
        room = width - gutter
        lines = 1
        if 5 * layers <= room and 2 * heads <= high:
            pitch, fill, lines = 5, 4, 2
        elif 3 * layers <= room:
            pitch, fill = 3, 2
        elif 2 * layers <= room:
            pitch, fill = 2, 2
        else:
            pitch, fill = 1, 1
        spare = high - ((heads + 1) // 2 if halves else lines * heads)
        footer = min(spare, 2) if spare >= 0 else int(high > LEAST_SCROLLED)
        return cls(layers, heads, gutter, pitch, fill, halves, lines, footer)

    @property
    def gap(self) -> int:
        """Blank columns after each layer's cells."""
        return self.pitch - self.fill

    @property
    def rows(self) -> int:
        """Lines of heads."""
        return (self.heads + 1) // 2 if self.halves else self.heads * self.lines

    @property
    def size(self) -> Size:
        """The whole map with its labels."""
        if not self.layers or not self.heads:
            return Size(0, 0)
        last = (self.layers - 1) * self.pitch + max(self.pitch, len(str(self.layers - 1)))
        return Size(self.gutter + last, HEADER + self.rows + self.footer)

    def row_of(self, head: int) -> int:
        """The first line, counted below the header, that shows `head`."""
        return head // 2 if self.halves else head * self.lines

    def heads_of(self, row: int) -> tuple[int, int | None]:
        """The head, or the upper and the lower head, on a line."""
        if not self.halves:
            return row // self.lines, None
        lower = 2 * row + 1
        return 2 * row, lower if lower < self.heads else None

    def region(self, layer: int, head: int) -> Region:
        """The cells of one head together with the gaps where cursor brackets go."""
        left = self.gutter + layer * self.pitch
        top = HEADER + self.row_of(head)
        return Region(left - self.gap, top, self.fill + 2 * self.gap, self.lines)

    def bars(self, height: int) -> int | None:
        """The line of the layer bars in so many lines, which stays while the heads scroll."""
        if not self.footer:
            return None
        return min(HEADER + self.rows + self.footer, height) - 1

    def at(self, x: int, y: int) -> tuple[int, int] | None:
        """The layer and line at a point, or None on the labels and beyond the map."""
        layer, row = (x - self.gutter) // self.pitch, y - HEADER
        inside = 0 <= layer < self.layers and 0 <= row < self.rows and x >= self.gutter
        return (layer, row) if inside else None

    def tick(self, layer: int) -> str | None:
        """The number over a layer: each fifth, and the last where it does not crowd another."""
        if layer % 5 == 0:
            return str(layer)
        beyond = layer % 5 * self.pitch
        crowded = beyond <= len(str(layer - layer % 5))
        return str(layer) if layer == self.layers - 1 and not crowded else None

    def label(self, row: int) -> str:
        """The name at the left of a line; with half blocks only each second or fourth has one."""
        head = self.heads_of(row)[0]
        if row % self.lines:
            return ""
        if self.halves and head % (2 if self.heads <= 32 else 4):
            return ""
        return f"H{head}"
