"""A line of text to type."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

from textual.events import Paste
from textual.reactive import reactive
from textual.widgets import Input

from analysis.errors import InputError
from analysis.tasks.prompts import escaped

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


def as_line(text: str, escapes: bool) -> str:
    """A text as one line, whole.

    Args:
        text: what is pasted.
        escapes: write line ends, tabs and backslashes as `unescaped` reads them.

    Raises:
        InputError: a line cannot hold it.
    """
    text = re.sub(r"\r\n?", "\n", text)  # a terminal sends each end of a line as \r
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
