"""A scrolling list of lines under a header, with a cursor that keys move."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.geometry import Region
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from screens.keys import shipped, unlisted

HEADER = 1
"""Lines above the first row."""


class RowCursor(ScrollView, can_focus=True):
    """The part of a table that knows places but not what stands there."""

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("up,k", "move(-1)", "Row above", id="table.row-above"),
            unlisted("down,j", "move(1)", "Row below", id="table.row-below"),
            unlisted("pageup", "page(-1)", "Page up", id="table.page-up"),
            unlisted("pagedown", "page(1)", "Page down", id="table.page-down"),
            unlisted("home,g", "edge('first')", "First row", id="table.first-row"),
            unlisted("end,G", "edge('last')", "Last row", id="table.last-row"),
        ],
    )
    ALLOW_SELECT = False

    cursor: reactive[int] = reactive(0, repaint=False)
    """Place of the row under the cursor in the order shown."""

    @property
    def shown(self) -> int:
        """How many rows there are to move through."""
        raise NotImplementedError

    def announce(self) -> None:
        """Called when the cursor has moved."""

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return max(0, min(cursor, self.shown - 1))

    def watch_cursor(self, before: int, cursor: int) -> None:
        """Repaint two rows, keep the cursor in view, tell whom it concerns."""
        self.refresh_row(before)
        self.refresh_row(cursor)
        self.show_cursor()
        self.announce()

    def refresh_row(self, place: int) -> None:
        """Paint one row again."""
        self.refresh(Region(0, place + HEADER - self.scroll_offset.y, self.size.width, 1))

    def show_cursor(self) -> None:
        """Scroll as little as brings the cursor into view."""
        height = self.size.height - HEADER
        top = min(max(self.scroll_offset.y, self.cursor - height + 1), self.cursor)
        if height > 0 and top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)

    def action_move(self, rows: int) -> None:
        """Move the cursor by so many rows."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor by what is in sight."""
        self.cursor += pages * max(1, self.size.height - HEADER - 1)

    def action_edge(self, end: str) -> None:
        """Go to the first or the last row."""
        self.cursor = 0 if end == "first" else self.shown - 1
