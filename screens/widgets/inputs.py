"""Lines of text to type: any, and the filter behind `/`."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Paste
from textual.reactive import reactive
from textual.widgets import Input, Label, TextArea

from analysis.errors import InputError
from analysis.tasks.prompts import escaped
from screens.widgets import WidgetMessage

LONGEST = 20_000
"""Characters of a line; each key draws all of them anew."""


class LineInput(Input):
    """An input whose cursor stands still: one that blinks repaints for ever, also over SSH.

    What is pasted is taken whole or not at all.

    Args:
        escapes: what stands in it is read by `unescaped`, so it can hold the lines of a text.
    """

    cursor_blink = reactive(False, init=False)

    def __init__(self, *arguments: Any, escapes: bool = False, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._escapes = escapes

    def validate_value(self, value: str) -> str:
        """Leave out control characters of what the program puts in: a terminal would obey them."""
        return "".join(each for each in value if unicodedata.category(each) != "Cc")

    def _on_paste(self, event: Paste) -> None:
        event.stop()
        event.prevent_default()
        self._take(event.text)

    def action_paste(self) -> None:
        """Put the text of the program's own clipboard in."""
        self._take(self.app.clipboard)

    def _take(self, text: str) -> None:
        try:
            taken = as_line(text, self._escapes)
            if len(self.value) + len(taken) > LONGEST:
                raise InputError(
                    f"{len(taken):,} characters are too many for a line, which takes {LONGEST:,}"
                )
        except InputError as error:
            words = f"Nothing is pasted: {error}"
            self.notify(words, severity="warning", timeout=10, markup=False)
        else:
            self.replace(taken, *self.selection)


class TextInput(TextArea):
    """A text of several lines, read by `unescaped`; enter and what breaks a line are its form's.

    What is pasted is taken whole or not at all, line ends as line ends.
    """

    DEFAULT_CSS = """
    TextInput, TextInput:focus {
        width: 1fr; height: auto; min-height: 1; max-height: 6; border: none; padding: 0 1;
        background: $boost; scrollbar-size-vertical: 1;
    }
    """

    def __init__(self, text: str, *, name: str) -> None:
        super().__init__(text, name=name, compact=True, highlight_cursor_line=False)
        self.cursor_blink = False

    def _on_paste(self, event: Paste) -> None:  # type: ignore[override]
        event.stop()
        event.prevent_default()
        self._take(event.text)

    def action_paste(self) -> None:
        """Put the text of the program's own clipboard in."""
        self._take(self.app.clipboard)

    def _take(self, text: str) -> None:
        try:
            taken = "\n".join(as_line(each, True) for each in ends_as_one(text).split("\n"))
            if len(self.text) + len(taken) > LONGEST:
                raise InputError(f"{len(taken):,} characters are too many; it takes {LONGEST:,}")
        except InputError as error:
            words = f"Nothing is pasted: {error}"
            self.notify(words, severity="warning", timeout=10, markup=False)
        else:
            end = self.replace(taken, *self.selection, maintain_selection_offset=False)
            self.move_cursor(end.end_location)

    def action_cursor_up(self, select: bool = False) -> None:
        """Go up a line; from the first one to the field before."""
        if not select and self._line == 0:
            self.screen.focus_previous()
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        """Go down a line; from the last one to the next field."""
        if not select and self._line == self.wrapped_document.height - 1:
            self.screen.focus_next()
        else:
            super().action_cursor_down(select)

    @property
    def _line(self) -> int:
        """The line in sight that the cursor is on."""
        return self.wrapped_document.location_to_offset(self.cursor_location).y


def ends_as_one(text: str) -> str:
    """The text with each line end as one character: a terminal sends it as \\r."""
    return re.sub(r"\r\n?", "\n", text)


def as_line(text: str, escapes: bool) -> str:
    """A text as one line, whole.

    Args:
        text: what is pasted.
        escapes: write line ends, tabs and backslashes as `unescaped` reads them.

    Raises:
        InputError: a line cannot hold it.
    """
    text = ends_as_one(text)
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise InputError("the text holds half a surrogate pair, which stands for no character")
    lines = text if escapes else text.removesuffix("\n")
    if not escapes and "\n" in lines:
        raise InputError(f"this field takes one line, the text has {lines.count(chr(10)) + 1}")
    allowed = "\n\t" if escapes else ""
    for each in lines:
        if unicodedata.category(each) == "Cc" and each not in allowed:
            what = "a tab" if each == "\t" else f"the control character {escaped(each)}"
            raise InputError(f"the text holds {what}, which this field does not take")
    return escaped(lines) if escapes else lines


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

    class _OfText(WidgetMessage["FilterInput"]):
        def __init__(self, filter_input: FilterInput, text: str) -> None:
            super().__init__(filter_input)
            self.text = text
            """The filter text."""

    class Changed(_OfText):
        """The text changed by typing."""

    class Submitted(_OfText):
        """Enter was pressed: the line closed, the filter stays."""

    class Cleared(_OfText):
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
        self.post_message(self.Cleared(self, ""))
