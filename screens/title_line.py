"""The title line: what is shown, and at its right end the fact to compare it with."""

from __future__ import annotations

from rich.text import Text

from screens.text import one_line


def title_line(text: Text, right: str, width: int) -> Text:
    """`text` with a fact at the right end of the line; where both do not fit, `text` is cut."""
    line = Text(" ").append_text(text)
    if not right:
        return line
    fact = Text(one_line(right), style="dim")
    space = width - line.cell_len - fact.cell_len - 1
    if space < 1:
        line.truncate(max(1, width - fact.cell_len - 3), overflow="ellipsis")
        space = 2
    return line.append(" " * space).append_text(fact)
