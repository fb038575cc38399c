"""Notices in sight, beside the row that one looks at, and the list of all of them."""

from __future__ import annotations

from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import OptionList, Static
from textual.widgets._toast import Toast, ToastRack
from textual.widgets.option_list import Option

from screens.dialogs import BOX
from screens.messages import CopyRequested
from screens.notices import Notice, Notices

STYLES = {"warning": "yellow", "error": "bold red"}
BELOW = 4
"""Lines under the notices when they are at the bottom: progress, replay, keys, status."""
ABOVE = 2
"""Lines over them when they are at the top: the screens there are, and the title."""


def keep_clear(app: App[Any]) -> None:
    """Put the notice in sight where it does not lie over the row under the cursor."""
    screen = app.screen
    toasts, rack = screen.query(Toast), screen.query(ToastRack)
    if not toasts or not rack:
        return
    line, lines = cursor_line(screen), toasts.last().outer_size.height
    bottom = screen.size.height - BELOW - lines
    rack.last().set_class(line is not None and line >= bottom and line >= ABOVE + lines, "-top")


def cursor_line(screen: Screen[Any]) -> int | None:
    """The line of the screen that the cursor is on; None: there is none."""
    widget = screen.focused
    if widget is None:
        return None
    if isinstance(widget, OptionList):
        return widget.region.y + (widget.highlighted or 0) - widget.scroll_offset.y
    own = getattr(widget, "cursor_line", None)
    if own is not None:
        return int(widget.region.y + own)
    offset = getattr(widget, "cursor_screen_offset", None)
    return widget.region.y if offset is None else int(offset.y)


class NoticeList(ModalScreen[None]):
    """All notices, the latest first."""

    DEFAULT_CSS = (
        BOX.format(name="NoticeList")
        + """
    NoticeList > Vertical { max-height: 90%; }
    NoticeList OptionList, NoticeList OptionList:focus { max-height: 24; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,exclamation_mark,q", "dismiss(None)", "Close"),
        Binding("y", "copy", "Copy", show=False),
        Binding("j", "move('cursor_down')", show=False),
        Binding("k", "move('cursor_up')", show=False),
        Binding("g", "move('first')", show=False),
        Binding("G", "move('last')", show=False),
    ]

    def __init__(self, notices: Notices) -> None:
        super().__init__()
        self._notices = notices.kept[::-1]

    def compose(self) -> ComposeResult:
        """What was said when."""
        with Vertical():
            yield Static("Notices", classes="question")
            yield OptionList(*(Option(_line(each)) for each in self._notices), markup=False)
            keys = "y copies it · ↑ ↓ move · esc closes"
            words = keys if self._notices else "Nothing was said yet · esc closes"
            yield Static(words, classes="hint")

    def on_mount(self) -> None:
        """The latest is under the cursor."""
        self.query_one(OptionList).highlighted = 0 if self._notices else None

    def action_move(self, how: str) -> None:
        """Walk the list."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def action_copy(self) -> None:
        """Put the notice under the cursor on the clipboard."""
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self.app.post_message(CopyRequested(self._notices[place].text, "the notice"))


def _line(notice: Notice) -> Text:
    line = Text(f"{notice.at:%H:%M:%S}  ", style="dim")
    word = "" if notice.severity == "information" else notice.severity
    line.append(f"{word:<9}", style=f"not dim {STYLES.get(notice.severity, '')}".strip())
    words = ": ".join(filter(None, (notice.title, notice.text)))
    line.append(words, style="not dim")
    return line.append(f"  × {notice.count}" if notice.count > 1 else "", style="dim")
