"""A line of text to type."""

from __future__ import annotations

from textual.reactive import reactive
from textual.widgets import Input


class LineInput(Input):
    """An input whose cursor stands still: one that blinks repaints for ever, also over SSH."""

    cursor_blink = reactive(False, init=False)
