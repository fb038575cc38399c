"""Markdown: text that stays text, whatever it looks like, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from screens.text import one_line

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_SPECIAL = {each: f"\\{each}" for each in "\\`*_[]#~$!@"} | _ENTITIES
_ESCAPES = str.maketrans(_SPECIAL)


def text(data: str) -> str:
    """Data on one line inside a paragraph, a heading or a cell; never at the start of a line.

    No markup, no HTML, no link comes of it: neither of its brackets nor of an address in it.
    """
    escaped = one_line(data).translate(_ESCAPES).replace("www.", "www\\.")
    return re.sub(r":(?=[\w/+-])", r"\:", escaped)  # an address or an emoji, not a colon in prose


def lines(data: str) -> str:
    """Data of several lines inside one paragraph."""
    return "<br>".join(text(each) for each in data.split("\n"))


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool] | None = None
) -> str:
    """A table, without a line's end behind it.

    Args:
        columns: what stands at the top, as Markdown.
        rows: the cells, row by row, as Markdown: data goes through `text` first.
        right: for each column whether it is of numbers; None: all but the first are.
    """
    right = [bool(place) for place in range(len(columns))] if right is None else right
    rule = "|" + "|".join("---:" if each else "---" for each in right) + "|"
    return "\n".join([_row(columns), rule, *map(_row, rows)])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
