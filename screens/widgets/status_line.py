"""Facts about the whole workbench on one line, the least important left out first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from screens.text import cell_fit, one_line

Severity = Literal["plain", "ok", "warn", "error"]

_BAR = " │ "


@dataclass(frozen=True, slots=True)
class StatusItem:
    """One fact."""

    text: str
    severity: Severity = "plain"
    importance: int = 0
    """Items with less go first where the line is narrow; among equals the last goes first."""


def choose(items: Sequence[StatusItem], width: int) -> list[StatusItem]:
    """The items that fit, in their order; the first always stays."""
    shown = [item for item in items if item.text]
    while len(shown) > 1 and _length(shown) > width:
        rest = range(1, len(shown))
        shown.pop(min(rest, key=lambda place: (shown[place].importance, -place)))
    return shown


def _length(items: Sequence[StatusItem]) -> int:
    return sum(cell_len(one_line(item.text)) for item in items) + len(_BAR) * (len(items) - 1)


class StatusLine(Widget):
    """`smollm2-135m float32 cpu │ parity 3e-6 │ session add1-1 ✓`."""

    DEFAULT_CSS = """
    StatusLine {
        width: 1fr;
        height: 1;
        background: transparent;
        & > .status-line--plain { color: $text-muted; }
        & > .status-line--ok { color: $text-success; }
        & > .status-line--warn { color: $text-warning; }
        & > .status-line--error { color: $text-error; text-style: bold; }
        & > .status-line--bar { color: $foreground 25%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "status-line--plain",
        "status-line--ok",
        "status-line--warn",
        "status-line--error",
        "status-line--bar",
    }

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._items: list[StatusItem] = []

    def set_items(self, items: Sequence[StatusItem | str]) -> None:
        """Show these facts; a plain string is one without a severity."""
        self._items = [StatusItem(item) if isinstance(item, str) else item for item in items]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        if y > 0:
            return Strip.blank(width, self.rich_style)
        segments: list[Segment] = []
        for item in choose(self._items, width):
            if segments:
                bar = self.get_component_rich_style("status-line--bar")
                segments.append(Segment(_BAR, bar))
            style = self.get_component_rich_style(f"status-line--{item.severity}")
            text = one_line(item.text)
            segments.append(Segment(cell_fit(text, min(cell_len(text), width)), style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)
