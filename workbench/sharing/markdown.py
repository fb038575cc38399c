"""Text for Markdown: what comes from data stays text, whatever it looks like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from screens.text import one_line

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
_SPECIAL = {each: f"\\{each}" for each in "\\`*_[]#~$!:@"} | _ENTITIES
_ESCAPES = str.maketrans(_SPECIAL)


def text(data: str) -> str:
    """Data on one line inside a paragraph, a heading or a cell; never at the start of a line.

    No markup, no HTML, no link comes of it: neither of its brackets nor of an address in it.
    """
    return one_line(data).translate(_ESCAPES).replace("www.", "www\\.")


def lines(data: str) -> str:
    """Data of several lines inside one paragraph."""
    return "<br>".join(text(each) for each in data.split("\n"))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]) -> str:
    """A table of data.

    Args:
        columns: what stands at the top.
        rows: the cells, row by row.
        right: for each column whether it is of numbers.
    """
    return "\n".join(_rows(columns, rows, right)) + "\n"


def _rows(
    columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[bool]
) -> Iterator[str]:
    yield _row(columns)
    yield "|" + "|".join("---:" if each else "---" for each in right) + "|"
    for row in rows:
        yield _row(row)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(text(each) or " " for each in cells) + " |"
