"""Text that the terminal takes no other way: shown plain, to be selected."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.text import lines


class SelectableText(ModalScreen[None]):
    """A text over the whole screen, with nothing beside it that would be selected too.

    Args:
        text: what was to be copied.
        what: what it is.
        why: the terminal that takes nothing from programs.
        file: where the text lies too; None: nowhere.
    """

    DEFAULT_CSS = """
    SelectableText { background: $background; }
    SelectableText > .head { height: auto; color: $text-warning; }
    SelectableText > VerticalScroll { height: 1fr; margin: 1 0; scrollbar-size-vertical: 0; }
    SelectableText #copied { height: auto; }
    SelectableText > .hint { height: 1; color: $text-muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q", "dismiss(None)", "Close", show=False),
    ]

    def __init__(self, text: str, what: str, why: str, file: str | None) -> None:
        super().__init__()
        self._text = text
        found = f", or take the file {file}" if file else ""
        self._head = (
            f"Not copied: {why} takes nothing from programs. Select {what} with the "
            f"mouse, shift held down{found}."
        )

    def compose(self) -> ComposeResult:
        """Why it is shown, the text, how it is left."""
        yield Static(Text(lines(self._head)), classes="head", markup=False)
        with VerticalScroll(can_focus=True):
            yield Static(Text(lines(self._text.expandtabs())), id="copied", markup=False)
        yield Static("↑ ↓ scroll · esc closes", classes="hint", markup=False)
