"""A page of the documentation or of a text, to be read inside the program."""

from __future__ import annotations

from typing import ClassVar

from rich.markdown import Markdown
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static


class HelpPage(ModalScreen[None]):
    """A page to read; escape closes it.

    Args:
        name: of its file.
        text: the page, as Markdown; or text as it is.
    """

    DEFAULT_CSS = """
    HelpPage { align: center middle; background: $background 60%; }
    HelpPage > Vertical {
        width: 100; max-width: 96%; height: 92%;
        background: $surface; padding: 1 2; border-left: outer $accent;
    }
    HelpPage VerticalScroll { scrollbar-size-vertical: 1; }
    HelpPage .hint { color: $text-muted; margin-top: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss", "Close"),
        Binding("j", "move('scroll_down')", show=False),
        Binding("k", "move('scroll_up')", show=False),
        Binding("space", "move('page_down')", show=False),
        Binding("g", "move('scroll_home')", show=False),
        Binding("G", "move('scroll_end')", show=False),
    ]

    def __init__(self, name: str, text: str | Text) -> None:
        super().__init__()
        self._name, self._text = name, text

    def compose(self) -> ComposeResult:
        """The page, and how to move in it."""
        with Vertical():
            with VerticalScroll():
                text = self._text
                page = text if isinstance(text, Text) else Markdown(text, hyperlinks=False)
                yield Static(page, id="page")
            keys = "↑ ↓ space g G move · esc closes"
            yield Static(f"{self._name} · {keys}", classes="hint", markup=False)

    def action_move(self, how: str) -> None:
        """Move in the page."""
        getattr(self.query_one(VerticalScroll), f"action_{how}")()
