"""The rows of a frame table as they stand: filtered, sorted, fetched a page at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from screens.widgets.row_filter import FilterError, parse_filter
from screens.widgets.table_column import TableColumn, first_descending, sort_order

_PAGE = 128

Row = dict[str, Any]


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
        """Order the rows by a column, by default in the direction that suits it."""
        self.sorted_by = name
        column = self.column(name)
        if column is not None:
            self.descending = (
                first_descending(self.frame, column) if descending is None else descending
            )
        self._arrange()

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
