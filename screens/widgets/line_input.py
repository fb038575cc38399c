"""A line of text to type."""

from __future__ import annotations

import unicodedata

from textual.reactive import reactive
from textual.widgets import Input


class LineInput(Input):
    """An input whose cursor stands still: one that blinks repaints for ever, also over SSH."""

    cursor_blink = reactive(False, init=False)

    def validate_value(self, value: str) -> str:
        """Leave out control characters: they come by pasting, and a terminal would obey them."""
        return "".join(each for each in value if unicodedata.category(each) != "Cc")
