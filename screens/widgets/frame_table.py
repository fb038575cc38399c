"""A table over a Polars frame that draws only the rows in sight, however many there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import polars as pl
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.colours import ink
from screens.keys import shipped, unlisted
from screens.text import cell_fit, count, strings
from screens.widgets import WidgetMessage
from screens.widgets.table_rows import GAP, Placed, Row, TableColumn, TableRows, place

HEADER = 1
"""Lines above the first row."""


GUTTER = 2
"""Cells left of the first column: the cursor's bar and the mark."""


@dataclass(frozen=True, slots=True)
class TableLines:
    """Draws headers and rows in the table's styles."""

    placed: Sequence[Placed]
    style: Callable[[str], Style]
    """Of a part: header, sorted, row, estimated, cursor, bar or mark."""

    def header(self, sorted_by: str | None, descending: bool) -> list[Segment]:
        """The labels, with an arrow on the column that orders the rows."""
        header = self.style("header")
        segments = [Segment(" " * GUTTER, header)]
        for placed in self.placed:
            column, style = placed.column, header
            label = column.label
            if column.name == sorted_by:
                arrow, style = "▼" if descending else "▲", self.style("sorted")
                # Beside a right-aligned label the arrow goes left, so the digits stay below it.
                label = f"{arrow}{label}" if column.align == "right" else f"{label}{arrow}"
            text = cell_fit(label, placed.width, column.align)
            segments += [Segment(text, style), Segment(" " * GAP, header)]
        return segments

    def row(
        self, row: Row, *, estimated: bool, marked: bool, cursor: bool, width: int
    ) -> list[Segment]:
        """One row: bar, mark and cells."""
        style = self.style("estimated" if estimated else "row")
        if cursor:  # the row keeps its own ink
            style += Style(bgcolor=self.style("cursor").bgcolor)
        segments = [
            Segment("▌" if cursor else " ", style + self.style("bar")),
            Segment("●" if marked else " ", style + self.style("mark")),
        ]
        for placed in self.placed:
            segments += [*self._cell(placed, row, style, estimated), Segment(" " * GAP, style)]
        used = GUTTER + sum(placed.width + GAP for placed in self.placed)
        segments.append(Segment(" " * max(0, width - used), style))
        return segments

    def _cell(self, placed: Placed, row: Row, style: Style, estimated: bool) -> list[Segment]:
        column, value = placed.column, row.get(placed.column.name)
        if column.paint is not None:
            return column.paint(row, placed.width, style)
        text = column.format(value)
        if column.estimated:
            estimated = bool(row.get(column.estimated))
            style += Style(color=self.style("estimated" if estimated else "row").color)
        if estimated and isinstance(value, float):
            text = f"~{text}"
        ink = column.style(value) if column.style is not None else None
        if ink is not None:
            style += ink
        return [Segment(cell_fit(text, placed.width, column.align), style)]


class FrameTable(ScrollView, can_focus=True):
    """Rows of a frame with a cursor, sorting, a filter and marks.

    Args:
        columns: what to show, in order.
        key: frame column that names a row.
        estimated: boolean frame column; rows where it is true look dim, their numbers carry `~`.
        search: frame columns that plain filter words are looked up in.
        sort: column to order by at first; None keeps the frame's order.
        comes_by: column that the frame's own order is by, and whether its largest value is first.
    """

    DEFAULT_CSS = """
    FrameTable {
        width: 1fr;
        height: 1fr;
        background: transparent;
        scrollbar-size: 0 1;
        scrollbar-color: $foreground 25%;
        scrollbar-color-hover: $foreground 40%;
        scrollbar-color-active: $accent;
        scrollbar-background: transparent;
        scrollbar-background-hover: transparent;
        scrollbar-background-active: transparent;
        overflow-x: hidden;
        & > .frame-table--header { color: $text-muted; }
        & > .frame-table--sorted { color: $foreground; text-style: bold; }
        & > .frame-table--row { color: $foreground; }
        & > .frame-table--estimated { color: $foreground 66%; }
        &:ansi > .frame-table--estimated { text-style: dim; }
        & > .frame-table--cursor { background: $foreground 10%; }
        & > .frame-table--bar { color: $accent; text-style: bold; }
        & > .frame-table--mark { color: $accent; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "frame-table--header",
        "frame-table--sorted",
        "frame-table--row",
        "frame-table--estimated",
        "frame-table--cursor",
        "frame-table--bar",
        "frame-table--mark",
    }
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("up,k", "move(-1)", "Row above", id="table.row-above"),
            unlisted("down,j", "move(1)", "Row below", id="table.row-below"),
            unlisted("pageup", "page(-1)", "Page up", id="table.page-up"),
            unlisted("pagedown", "page(1)", "Page down", id="table.page-down"),
            unlisted("home,g", "edge('first')", "First row", id="table.first-row"),
            unlisted("end,G", "edge('last')", "Last row", id="table.last-row"),
            unlisted(
                "right,l",
                "sort_next",
                "Sort by the next column",
                id="table.sort-by-the-next-column",
            ),
            unlisted(
                "left,h",
                "sort_previous",
                "Sort by the column before",
                id="table.sort-by-the-column-before",
            ),
            # Not listed by `?`: screens say on a key of their own what opening a row means.
            unlisted("enter", "select", "Open", system=True, id="table.open"),
        ],
    )

    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0, repaint=False)
    """Place of the row under the cursor in the order shown."""

    class _OfRow(WidgetMessage["FrameTable"]):
        def __init__(self, table: FrameTable, key: str, row: Row) -> None:
            super().__init__(table)
            self.key = key
            """The row's name."""
            self.row = row
            """The row's values by frame column."""

    class RowHighlighted(_OfRow):
        """The cursor reached a row, another row came under it, or its values changed."""

    class RowSelected(_OfRow):
        """A row was chosen by enter or a double click."""

    class Filtered(WidgetMessage["FrameTable"]):
        """The filter or the rows it works on changed."""

        def __init__(self, table: FrameTable, shown: int, total: int) -> None:
            super().__init__(table)
            self.shown = shown
            self.total = total

    class MarksChanged(WidgetMessage["FrameTable"]):
        """Rows were marked or unmarked with a key; the table's `marked` names them."""

    def __init__(
        self,
        columns: Sequence[TableColumn],
        *,
        key: str = "name",
        estimated: str | None = None,
        search: Sequence[str] = ("name", "tokens"),
        sort: str | None = None,
        descending: bool | None = None,
        comes_by: tuple[str, bool] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._marked: set[str] = set()
        self._key = key
        self._estimated = estimated
        self._rows = TableRows(columns, search)
        self._rows.comes_by = comes_by
        self._rows.sort(sort, descending)
        # The direction that suits a column depends on its type, known only with the first frame.
        self._sort_open = sort is not None and descending is None
        self._announced: tuple[str, Row] | None = None

    def set_frame(self, frame: pl.DataFrame, keep_cursor_on: str | None = None) -> None:
        """Show another frame under the same order, filter and marks.

        Args:
            frame: the rows.
            keep_cursor_on: frame column by whose value the cursor finds its row again; None
                leaves it at its place.
        """
        before = self.current if keep_cursor_on else None
        self._rows.set_frame(frame)
        if self._sort_open and frame.width:
            self._sort_open = False
            self._rows.sort(self._rows.sorted_by)
        self._rearranged(keep_cursor_on, before)
        self.post_message(self.Filtered(self, self.shown, self.total))

    def set_columns(
        self, columns: Sequence[TableColumn], comes_by: tuple[str, bool] | None = None
    ) -> None:
        """Show other columns, of frames whose own order is by this one of them."""
        self._rows.columns = list(columns)
        self._rows.comes_by = comes_by
        self.refresh()

    def filter(self, text: str) -> str | None:
        """Show only the rows that the text asks for; see `row_filter` for the language.

        Returns:
            What is wrong with the text, for the user to read; the rows then stay as they were.
        """
        before = self.current
        problem = self._rows.filter(text)
        if problem is None:
            self._rearranged(self._key, before)
            self.post_message(self.Filtered(self, self.shown, self.total))
        return problem

    def sort(self, column: str | None, descending: bool | None = None) -> None:
        """Order the rows by a column, by default in the direction that suits it.

        The row under the cursor stays there, on the same line of the screen as far as it can.
        """
        before, line = self.current, self.cursor - self.scroll_offset.y
        self._sort_open = False
        self._rows.sort(column, descending)
        self._rearranged(self._key, before, line)

    def to_top(self) -> None:
        """Put the cursor on the first row, where that is what counts: in other rows than before."""
        self.cursor = 0
        self.scroll_to(y=0, animate=False)

    def set_marked(self, keys: Iterable[str]) -> None:
        """Mark these rows and no others."""
        self._marked = set(keys)
        self.refresh()

    def unmark(self) -> None:
        """Take all marks away, and say so."""
        self.set_marked(())
        self.post_message(self.MarksChanged(self))

    def move_to(self, key: str) -> bool:
        """Put the cursor on the row of that name; False if it is not shown."""
        place = self._rows.place_of(self._key, key)
        if place is None:
            return False
        self.cursor = place
        return True

    def known(self, keys: Sequence[str]) -> set[str]:
        """Which of these name a row, whether the filter shows it or not."""
        return self._rows.present(self._key, keys)

    def has_column(self, name: str) -> bool:
        """Whether the rows can be ordered by a column of that name."""
        return self._rows.column(name) is not None

    @property
    def current(self) -> Row | None:
        """The row under the cursor; None in an empty table."""
        return self._rows.row(self.cursor) if self.cursor < len(self._rows) else None

    @property
    def current_key(self) -> str | None:
        """The name of the row under the cursor."""
        return None if (row := self.current) is None else str(row.get(self._key, ""))

    @property
    def marked(self) -> frozenset[str]:
        """Names of the marked rows, whether the filter shows them or not."""
        return frozenset(self._marked)

    @property
    def shown(self) -> int:
        """Rows that pass the filter."""
        return len(self._rows)

    @property
    def total(self) -> int:
        """Rows of the frame."""
        return self._rows.frame.height

    def copied(self, everything: bool) -> pl.DataFrame:
        """The row under the cursor, or all rows that the filter shows, as they are ordered."""
        return self._rows.ordered() if everything else self._rows.ordered(self.cursor, 1)

    def in_order(self, filtered: bool) -> pl.DataFrame:
        """The rows as they are ordered: those that the filter shows, or all."""
        return self._rows.ordered() if filtered else self._rows.everything()

    @property
    def filter_text(self) -> str:
        """The filter in force."""
        return self._rows.filter_text

    @property
    def found(self) -> str:
        """What the filter leaves of how many rows, and in how many of them it can find a word."""
        words = f"{count(self.shown)} of {count(self.total)}"
        read = self._rows.read
        return words if read == self.total else f"{words}, words known of {count(read)}"

    @property
    def filter_example(self) -> str:
        """What a filter may say here."""
        return self._rows.filter_example

    @property
    def sorted_by(self) -> str | None:
        """Name of the column that orders the rows."""
        return self._rows.order[0]

    @property
    def descending(self) -> bool:
        """Whether the largest value comes first."""
        return self._rows.order[1]

    def view(self) -> dict[str, Any]:
        """How the rows are looked at, as JSON: cursor, order, filter and marks."""
        return {
            "cursor": self.current_key,
            "sort": self.sorted_by,
            "descending": self.descending,
            "filter": self.filter_text,
            "marked": sorted(self.marked),
        }

    def show_view(self, view: Mapping[str, Any]) -> None:
        """Look at the rows that way, as far as it fits them; an empty view: as at first."""
        text, order, cursor = (view.get(name) for name in ("filter", "sort", "cursor"))
        if not isinstance(text, str) or self.filter(text) is not None:
            self.filter("")
        known = isinstance(order, str) and self.has_column(order)
        self.sort(order if known else None, view.get("descending") is True)
        self.set_marked(self.known(strings(view.get("marked"))))
        self.to_top()
        if isinstance(cursor, str):
            self.move_to(cursor)

    def _rearranged(self, column: str | None, before: Row | None, line: int | None = None) -> None:
        place = None
        if column is not None and before is not None:
            place = self._rows.place_of(column, before.get(column))
        last = max(0, len(self._rows) - 1)
        self._resize()
        if place is not None and line is not None:
            self.scroll_to(y=max(0, place - line), animate=False)
        self.cursor = min(self.cursor, last) if place is None else place
        self.announce()
        self.refresh()

    def announce(self) -> None:
        """Tell the screen about the row under the cursor, once for each row and its values."""
        row, key = self.current, self.current_key
        if row is not None and key is not None and (key, row) != self._announced:
            self._announced = key, row
            self.post_message(self.RowHighlighted(self, key, row))

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, self.shown - 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        """Repaint two rows, keep the cursor in view, tell whom it concerns."""
        self.refresh_row(before)
        self.refresh_row(cursor)
        self.show_cursor()
        self.announce()

    @property
    def cursor_line(self) -> int:
        """The line of the table that the cursor is on."""
        return self.cursor + HEADER - self.scroll_offset.y

    def refresh_row(self, place: int) -> None:
        """Paint one row again."""
        self.refresh(Region(0, place + HEADER - self.scroll_offset.y, self.size.width, 1))

    def show_cursor(self) -> None:
        """Scroll as little as brings the cursor into view."""
        height = self.size.height - HEADER
        top = min(max(self.scroll_offset.y, self.cursor - height + 1), self.cursor)
        if height > 0 and top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._resize()
        self.show_cursor()

    def _resize(self) -> None:
        self.virtual_size = Size(self._width, len(self._rows) + HEADER)

    @property
    def _width(self) -> int:
        """Cells for a line: what the scroll bar leaves."""
        return self.scrollable_content_region.width

    @property
    def _placed(self) -> list[Placed]:
        return place(self._rows.columns, self.app.size.width, self._width - GUTTER)

    def render_line(self, y: int) -> Strip:
        """The header, or one row."""
        width, row = self._width, y - HEADER + self.scroll_offset.y
        segments: list[Segment] = []
        if y < HEADER:
            segments = self._lines().header(self.sorted_by, self.descending)
        elif row < len(self._rows):
            values = self._rows.row(row)
            segments = self._lines().row(
                values,
                estimated=bool(self._estimated and values.get(self._estimated)),
                marked=str(values.get(self._key, "")) in self._marked,
                cursor=row == self.cursor,
                width=width,
            )
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _lines(self) -> TableLines:
        return TableLines(self._placed, self._style)

    def _style(self, part: str) -> Style:
        """A part's style; bar and mark stand on the row's own background."""
        name = f"frame-table--{part}"
        alone = part in ("bar", "mark")
        return ink(self, name) if alone else self.get_component_rich_style(name)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row; on the header sort by the column; twice opens the row."""
        place = event.get_content_offset(self)
        if place is None:
            return
        if place.y < HEADER:
            self._click_header(place.x)
        elif (row := place.y - HEADER + self.scroll_offset.y) < len(self._rows):
            self.cursor = row
            if event.chain == 2:
                self.action_select()

    def _click_header(self, x: int) -> None:
        left = GUTTER
        for placed in self._placed:
            if left <= x < left + placed.width + GAP:
                if placed.column.name == self.sorted_by:
                    self.action_sort_reverse()
                else:
                    self.sort(placed.column.name)
                return
            left += placed.width + GAP

    def action_move(self, rows: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is in sight."""
        self.cursor += pages * max(1, self.size.height - HEADER - 1)

    def action_edge(self, end: str) -> None:
        """Go to the first or the last row."""
        self.cursor = 0 if end == "first" else self.shown - 1

    def action_sort_next(self) -> None:
        """Sort by the next column in sight."""
        self._sort_beside(1)

    def action_sort_previous(self) -> None:
        """Sort by the column before."""
        self._sort_beside(-1)

    def action_sort_reverse(self) -> None:
        """Turn the order round."""
        if self.sorted_by is not None:
            self.sort(self.sorted_by, not self.descending)

    def _sort_beside(self, step: int) -> None:
        names = [placed.column.name for placed in self._placed]
        if not names:
            return
        here = self.sorted_by
        at = names.index(here) if here in names else -1 if step > 0 else 0
        self.sort(names[(at + step) % len(names)])

    def action_mark(self) -> None:
        """Mark the row or take its mark away, and go to the next."""
        key = self.current_key
        if key is not None:
            self._marked ^= {key}
            self.refresh_row(self.cursor)
            self.cursor += 1
            self.post_message(self.MarksChanged(self))

    def action_select(self) -> None:
        """Choose the row under the cursor."""
        row, key = self.current, self.current_key
        if row is not None and key is not None:
            self.post_message(self.RowSelected(self, key, row))
