"""What a map of cells shows and where: values with their ramp steps, and the place of each."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from textual.geometry import Region, Size

from screens.colours import PENDING, ramp_of
from screens.widgets.cell_paint import ABSENT, Look

Cell: TypeAlias = tuple[int, int]
"""A column, and a place in it from the top, both from 0."""

HEADER = 1
"""Lines above the first row of cells: the numbers of the columns."""
LEAST_SCROLLED = 6
"""Lines of cells in sight from which a map that scrolls spares one for the bars."""
LEAST_TOKEN, MOST_TOKEN = 4, 9
"""Columns from one position to the next: room for a token's text below it, and a blank."""


@dataclass(frozen=True, slots=True)
class CellLayout:
    """The geometry of one map in one space; coordinates are those of the unscrolled map."""

    columns: int
    cells: int
    """Cells in each column."""
    gutter: int
    """Columns of row labels at the left, with the blank one that ends them."""
    pitch: int
    """Columns of the terminal from one of the map to the next."""
    fill: int
    """How many of these carry colour; the rest is a gap."""
    halves: bool
    """Two cells share a line, as its upper and its lower half."""
    lines: int = 1
    """Lines of each cell, where they do not share one."""
    footer: int = 0
    """Lines below the cells for bars or texts: none, these, or a blank line and these."""
    letter: str = "H"
    """What the rows are called before their number."""
    upwards: bool = False
    """The rows are numbered from below."""
    strips: int = 1
    """Lines of bars or texts in the footer."""
    names: tuple[str, ...] = ()
    """What the rows are called, where they have names of their own."""

    @classmethod
    def fit(
        cls, layers: int, heads: int, width: int, height: int, allow_halves: bool = True
    ) -> CellLayout:
        """The roomiest layout that shows all heads, layers to the right, or the densest if none
        does."""
        high = max(1, height - HEADER)
        halves = allow_halves and heads > high
        gutter = _gutter(heads)
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

    @classmethod
    def of_positions(
        cls,
        positions: int,
        layers: int,
        longest: int,
        width: int,
        height: int,
        allow_halves: bool,
        strips: int = 1,
    ) -> CellLayout:
        """Positions to the right, each with its token below it, layers up.

        Args:
            positions: how many there are.
            layers: how many there are.
            longest: cells of the longest token.
            width: columns of the terminal.
            height: its lines.
            allow_halves: two layers may share a line where there are more of them than lines.
            strips: lines of tokens below.
        """
        high = max(1, height - HEADER - strips)
        gutter = _gutter(layers)
        fair = (width - gutter) // max(1, positions)
        pitch = max(LEAST_TOKEN, min(fair, longest + 1, MOST_TOKEN))
        halves = allow_halves and layers > high
        return cls(
            positions,
            layers,
            gutter,
            pitch,
            pitch - 1,
            halves,
            footer=strips,
            letter="L",
            upwards=True,
            strips=strips,
        )

    @property
    def gap(self) -> int:
        """Blank columns after each column's cells."""
        return self.pitch - self.fill

    @property
    def rows(self) -> int:
        """Lines of cells."""
        return (self.cells + 1) // 2 if self.halves else self.cells * self.lines

    @property
    def size(self) -> Size:
        """The whole map with its labels."""
        if not self.columns or not self.cells:
            return Size(0, 0)
        last = (self.columns - 1) * self.pitch + max(self.pitch, len(str(self.columns - 1)))
        return Size(self.gutter + last, HEADER + self.rows + self.footer)

    def row_of(self, place: int) -> int:
        """The first line, counted below the header, that shows the cells of a row."""
        return place // 2 if self.halves else place * self.lines

    def cells_of(self, row: int) -> tuple[int, int | None]:
        """The place, or the upper and the lower one, on a line."""
        if not self.halves:
            return row // self.lines, None
        lower = 2 * row + 1
        return 2 * row, lower if lower < self.cells else None

    def region(self, column: int, place: int) -> Region:
        """One cell together with the gaps where cursor brackets go."""
        left = self.gutter + column * self.pitch
        top = HEADER + self.row_of(place)
        return Region(left - self.gap, top, self.fill + 2 * self.gap, self.lines)

    def below(self, height: int) -> range:
        """The lines below the cells in so many lines, which stay while they scroll."""
        end = min(HEADER + self.rows + self.footer, height)
        return range(end - min(self.strips, self.footer), end)

    def at(self, x: int, y: int) -> tuple[int, int] | None:
        """The column and line at a point, or None on the labels and beyond the map."""
        column, row = (x - self.gutter) // self.pitch, y - HEADER
        inside = 0 <= column < self.columns and 0 <= row < self.rows and x >= self.gutter
        return (column, row) if inside else None

    def tick(self, column: int) -> str | None:
        """The number over a column: each fifth, and the last where it does not crowd another."""
        if column % 5 == 0:
            return str(column)
        beyond = column % 5 * self.pitch
        crowded = beyond <= len(str(column - column % 5))
        return str(column) if column == self.columns - 1 and not crowded else None

    def name(self, place: int) -> str:
        """What a row of cells is called."""
        if self.names:
            return self.names[place]
        return f"{self.letter}{self.cells - 1 - place if self.upwards else place}"

    def label(self, row: int) -> str:
        """The name at the left of a line; with half blocks only each second or fourth has one."""
        place = self.cells_of(row)[0]
        if row % self.lines:
            return ""
        if self.halves and not self.names and place % (2 if self.cells <= 32 else 4):
            return ""
        return self.name(place)


def _gutter(rows: int) -> int:
    """A letter, the digits, and the blank that a cursor bracket may use."""
    return 2 + len(str(max(rows - 1, 0)))


class CellGrid:
    """Values [columns, cells] with the ramp step of each.

    Args:
        columns: how many there are.
        cells: how many there are in each.
        centred: the values are changes around zero rather than amounts.
        rooted: amounts are shares, shown by their square root.
        triangular: what has no value above the diagonal is no cell.
    """

    def __init__(
        self,
        columns: int,
        cells: int,
        centred: bool,
        rooted: bool = False,
        triangular: bool = False,
    ) -> None:
        self.columns = columns
        self.cells = cells
        self.centred = centred
        self.rooted = rooted
        self.triangular = triangular
        self.marked: frozenset[Cell] = frozenset()
        self.signs: dict[Cell, str] = {}
        """Letters on cells."""
        self.fixed: tuple[float, float] | None = None
        """The scale, if it does not follow the values."""
        self._range = self._levelled = (0.0, 0.0)
        self.empty()

    def empty(self) -> None:
        """Make all values pending."""
        self._values = [[math.nan] * self.cells for _ in range(self.columns)]
        self._levels = [[PENDING] * self.cells for _ in range(self.columns)]
        self._exact = [[False] * self.cells for _ in range(self.columns)]

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest value: the fixed ones, else those seen."""
        return self.fixed or self._range

    def value(self, cell: Cell) -> float | None:
        """The value of a cell; None while it is pending."""
        if not self.holds(cell):
            return None
        value = self._values[cell[0]][cell[1]]
        return None if math.isnan(value) else value

    def holds(self, cell: Cell) -> bool:
        """Whether the grid has such a cell."""
        return 0 <= cell[0] < self.columns and 0 <= cell[1] < self.cells

    def look(self, column: int, place: int, cursor: Cell) -> Look:
        """How a cell is to be drawn."""
        cell = (column, place)
        level = self._levels[column][place]
        beyond = self.triangular and column > place and level == PENDING
        return Look(
            ABSENT.level if beyond else level,
            self._exact[column][place],
            cell in self.marked,
            cell == cursor,
            self.signs.get(cell, ""),
        )

    def strongest(self, column: int) -> tuple[Look, float]:
        """How the strongest value of a column is to be drawn, and its share of the largest of all.

        The share goes by the square root where the ramp does.
        """
        values = self._values[column]
        place = max(range(self.cells), key=lambda place: _size(values[place]))
        look = self.look(column, place, (column, place))
        look = look._replace(marked=False, cursor=False, sign="")
        reach = max(abs(end) for end in self.scale)
        share = min(_size(values[place]) / reach, 1.0) if reach else 0.0
        return look, math.sqrt(max(share, 0.0)) if self.centred else max(share, 0.0)

    def store(
        self,
        values: Mapping[Cell, float | None] | Sequence[Sequence[float | None]],
        exact: bool | Collection[Cell],
    ) -> list[Cell]:
        """Take these values over.

        Args:
            values: a number for each cell, or lists [column][cell]; None and NaN are pending.
            exact: whether all of them are exact, or the cells whose values are.

        Returns:
            The cells that now look different.
        """
        if not isinstance(values, Mapping):
            values = {
                (column, place): value
                for column, row in enumerate(values)
                for place, value in enumerate(row)
            }
        for (column, place), value in values.items():
            self._values[column][place] = math.nan if value is None else float(value)
            self._exact[column][place] = (
                exact if isinstance(exact, bool) else (column, place) in exact
            )
            self._level(column, place)
        return list(values)

    def rescale(self) -> bool:
        """Let the scale follow the values, and the steps the scale.

        Returns:
            Whether the scale changed.
        """
        seen = [value for row in self._values for value in row if math.isfinite(value)]
        self._range = (min(seen), max(seen)) if seen else (0.0, 0.0)
        if self.scale == self._levelled:
            return False
        self._levelled = self.scale
        for column in range(self.columns):
            for place in range(self.cells):
                self._level(column, place)
        return True

    def _level(self, column: int, place: int) -> None:
        # Steps are the same for dark and light themes, so either ramp counts them.
        ramp = ramp_of(None, centred=self.centred, rooted=self.rooted)
        self._levels[column][place] = ramp.index(self._values[column][place], *self.scale)


def _size(value: float) -> float:
    """How far a value is from zero; a missing one is less than any."""
    return -1.0 if math.isnan(value) else abs(value)
