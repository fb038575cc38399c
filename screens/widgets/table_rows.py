"""What a table shows of a frame: its columns, and its rows as they are filtered and sorted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
from rich.segment import Segment
from rich.style import Style

from screens.text import Align
from screens.widgets.row_filter import FilterError, parse_filter

Row: TypeAlias = dict[str, Any]


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
    paint: Callable[[Row, int, Style], list[Segment]] | None = None
    """Draws the cell itself, given its row, the cells it has, and the row's own style."""
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


_PAGE = 128


class TableRows:
    """A view of a frame that copies nothing but the row numbers and the pages looked at.

    Args:
        columns: the columns known to the table.
        search: frame columns that plain filter words are looked up in.
    """

    def __init__(self, columns: Sequence[TableColumn], search: Sequence[str]) -> None:
        self.columns = list(columns)
        self.frame = pl.DataFrame()
        self.filter_text = ""
        self.sorted_by: str | None = None
        """Name of the column the rows are ordered by; None: the frame's own order."""
        self.descending = False
        self.comes_by: tuple[str, bool] | None = None
        """The column that the frame's own order is by, and whether its largest value is first."""
        self._search = list(search)
        self._searchable: pl.DataFrame | None = None
        self._kept: pl.Series | None = None
        self._order: pl.Series | None = None
        self._pages: dict[int, list[Row]] = {}

    def __len__(self) -> int:
        return self.frame.height if self._order is None else len(self._order)

    def set_frame(self, frame: pl.DataFrame) -> None:
        """Take another frame, under the same filter and order as far as it has their columns."""
        self.frame = frame
        self._searchable = None
        try:
            self._kept = self._matching(self.filter_text)
        except FilterError:
            self.filter_text, self._kept = "", None
        self._arrange()

    def filter(self, text: str) -> str | None:
        """Show only the rows that the text asks for.

        Returns:
            What is wrong with the text, in which case nothing changed; else None.
        """
        try:
            kept = self._matching(text)
        except FilterError as error:
            return str(error)
        self.filter_text, self._kept = text, kept
        self._arrange()
        return None

    @property
    def filter_example(self) -> str:
        """What a filter of these rows may say."""
        schema = self.frame.schema
        numbers = [each for each in self.columns if schema.get(each.name, pl.String).is_float()]
        parts = ["a word", *(["L20"] if "layer" in schema else [])]
        if numbers:
            label = numbers[0].label
            parts.append(f"{label if label.isidentifier() else numbers[0].name} > 0.1")
        return ", ".join(parts)

    @property
    def read(self) -> int:
        """How many rows have all the texts that words are looked up in."""
        lists = [each for each in self._search if isinstance(self.frame.schema.get(each), pl.List)]
        return self.frame.height - max((self.frame[each].null_count() for each in lists), default=0)

    def sort(self, name: str | None, descending: bool | None = None) -> None:
        """Order the rows by a column, by default in the direction that suits it.

        The order that the frame comes in is taken as it comes, estimates behind what is exact.
        """
        self.sorted_by = name
        column = self.column(name)
        if column is not None:
            if descending is None:
                own = dict([self.comes_by] if self.comes_by else [])
                descending = own.get(column.name, first_descending(self.frame, column))
            self.descending = descending
            if self.comes_by == (name, descending):
                self.sorted_by = None
        self._arrange()

    @property
    def order(self) -> tuple[str | None, bool]:
        """The column in sight that orders the rows, if one does, and whether its largest is
        first."""
        if self.sorted_by is not None:
            return self.sorted_by, self.descending
        if self.comes_by is None or self.column(self.comes_by[0]) is None:
            return None, False
        return self.comes_by

    def column(self, name: str | None) -> TableColumn | None:
        """The column of that name, if there is one."""
        return next((column for column in self.columns if column.name == name), None)

    def row(self, place: int) -> Row:
        """The row at a place of the view, as values by column name."""
        page, within = divmod(place, _PAGE)
        if page not in self._pages:
            self._pages[page] = self.ordered(page * _PAGE, _PAGE).rows(named=True)
        return self._pages[page][within]

    def ordered(self, start: int = 0, length: int | None = None) -> pl.DataFrame:
        """Rows of the view from a place on, as a frame."""
        if self._order is None:
            return self.frame.slice(start, length)
        return self.frame[self._order.slice(start, length)]

    def everything(self) -> pl.DataFrame:
        """All rows as they are ordered, whatever the filter hides."""
        column = self.column(self.sorted_by)
        if column is None or column.name not in self.frame.columns:
            return self.frame
        return self.frame[sort_order(self.frame, column, self.descending)]

    def place_of(self, column: str, value: Any) -> int | None:
        """Where the first row with this value stands in the view."""
        if column not in self.frame.columns:
            return None
        values = self.frame.get_column(column)
        if isinstance(value, str):
            values = values.cast(pl.String)
        if self._order is not None:
            values = values.gather(self._order)
        return values.index_of(value)

    def present(self, column: str, values: Sequence[str]) -> set[str]:
        """Which of these values the frame has, shown or not."""
        if column not in self.frame.columns or not values:
            return set()
        found = pl.col(column).cast(pl.String)
        return set(self.frame.select(found).filter(found.is_in(values)).to_series().to_list())

    def _matching(self, text: str) -> pl.Series | None:
        """Row numbers that a filter keeps; None: all."""
        if not text.strip() or not self.frame.width:
            return None
        labels = {column.name: column.label for column in self.columns}
        condition = parse_filter(text, self._lowered(), self._search, labels)
        if condition is None:
            return None
        return self._lowered().select(pl.arg_where(condition)).to_series()

    def _lowered(self) -> pl.DataFrame:
        """The frame with its lists of tokens joined once, so that typing a filter stays quick."""
        if self._searchable is None:
            lists = [
                pl.col(name).list.join("\x00", ignore_nulls=True)
                for name in self._search
                if self.frame.schema.get(name) == pl.List(pl.String)
            ]
            self._searchable = self.frame.with_columns(lists)
        return self._searchable

    def _arrange(self) -> None:
        self._pages.clear()
        column = self.column(self.sorted_by)
        self._order = self._kept
        if column is None or column.name not in self.frame.columns:
            return
        self._order = sort_order(self.frame, column, self.descending, self._kept)
