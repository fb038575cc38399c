"""The `/` line: a filter typed above the keys, with what it found beside it."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from screens.widgets.line_input import LineInput
from screens.widgets.told import Told


class FilterInput(Horizontal):
    """Hidden until `open`; enter keeps the filter, escape takes it away."""

    DEFAULT_CSS = """
    FilterInput {
        width: 1fr;
        height: 1;
        display: none;
        background: transparent;
        &.-open { display: block; }
        & > .filter-input--slash { width: 2; color: $accent; text-style: bold; }
        & > Input, & > Input:focus {
            width: 1fr; height: 1; border: none; padding: 0; background: transparent;
        }
        & > .filter-input--note { width: auto; max-width: 60%; color: $text-muted; }
        & > .filter-input--note.-error { color: $text-error; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Clear the filter", show=False),
    ]

    class _OfText(Told["FilterInput"]):
        def __init__(self, filter_input: FilterInput, text: str) -> None:
            super().__init__(filter_input)
            self.text = text
            """The filter text."""

    class Changed(_OfText):
        """The text changed by typing."""

    class Submitted(_OfText):
        """Enter was pressed: the line closed, the filter stays."""

    class Cancelled(_OfText):
        """Escape was pressed: the line closed and the text is empty."""

    def compose(self) -> ComposeResult:
        """The slash, the text and the note."""
        yield Label("/ ", classes="filter-input--slash")
        yield LineInput(compact=True, select_on_focus=False)
        yield Label("", classes="filter-input--note", markup=False)

    @property
    def is_open(self) -> bool:
        """Whether the line is shown."""
        return self.has_class("-open")

    @property
    def text(self) -> str:
        """What is typed."""
        return self.query_one(Input).value

    def open(self, text: str | None = None, example: str | None = None) -> None:
        """Show the line and let the user type.

        Args:
            text: what stands there; None: what stood there.
            example: what can be typed, shown while nothing is; None: what was shown.
        """
        field = self.query_one(Input)
        if example is not None:
            field.placeholder = example
        if text is not None:
            with field.prevent(Input.Changed):
                field.value = text
        self.add_class("-open")
        field.focus()
        field.cursor_position = len(field.value)

    def close(self) -> None:
        """Hide the line; the text stays for the next time."""
        self.remove_class("-open")

    def set_note(self, text: str, error: bool = False) -> None:
        """Say at the right what the filter found, or what is wrong with it."""
        note = self.query_one(".filter-input--note", Label)
        note.update(Text(f" {text}" if text else ""))
        note.set_class(error, "-error")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self.post_message(self.Changed(self, event.value))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.close()
        self.post_message(self.Submitted(self, event.value))

    def action_cancel(self) -> None:
        """Take the filter away and hide the line."""
        field = self.query_one(Input)
        with field.prevent(Input.Changed):
            field.value = ""
        self.set_note("")
        self.close()
        self.post_message(self.Cancelled(self, ""))
