"""What each token of a prompt looks at as a map: queries down, keys to the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import BindingType
from textual.reactive import reactive

from screens.keys import shipped, unlisted
from screens.text import SPACE, cell_fit, visible
from screens.widgets.cell_grid import HEADER, LEAST_TOKEN, MOST_TOKEN, Cell, CellLayout
from screens.widgets.cell_map import CellLines, CellMap, Line

MOST_NAME = 8
"""Cells of a token at the left of its row, where there is no room for more."""
NAMES = 5
"""They take at most one column of so many."""
ROOMY = 2
"""Lines of a row where there is room for so many."""


@dataclass(frozen=True, slots=True)
class QueryKey:
    """A token that looks, and one that it looks at, by their places in the prompt."""

    query: int
    key: int


class AttentionMap(CellMap[QueryKey]):
    """One cell for each token that looks at each token: none looks ahead, so half is blank.

    A long prompt scrolls both ways.
    """

    SHARES = True
    TRIANGULAR = True
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("left,h", "move(-1, 0)", "Token looked at before", id="pattern.key-before"),
            unlisted("right,l", "move(1, 0)", "Token looked at after", id="pattern.key-after"),
            unlisted("up,k", "move(0, -1)", "Looking token above", id="pattern.query-above"),
            unlisted("down,j", "move(0, 1)", "Looking token below", id="pattern.query-below"),
            unlisted("pageup", "move(0, -8)", "Eight tokens up", id="pattern.eight-up"),
            unlisted("pagedown", "move(0, 8)", "Eight tokens down", id="pattern.eight-down"),
            unlisted("home", "column('first')", "First token looked at", id="pattern.first-key"),
            unlisted("end", "column('last')", "Last token looked at", id="pattern.last-key"),
            unlisted("g", "row('first')", "First looking token", id="pattern.first-query"),
            unlisted("G", "row('last')", "Last looking token", id="pattern.last-query"),
        ],
    )
    cursor: reactive[QueryKey] = reactive(QueryKey(0, 0), repaint=False)
    """The two tokens under the cursor."""

    _tokens: tuple[str, ...] = ()
    _ordered = True

    def set_tokens(self, tokens: Sequence[str | None], ordered: bool = True) -> None:
        """Take the tokens of a prompt; where they are others, what was shown is forgotten.

        Args:
            tokens: in order.
            ordered: none looks at those after it; roles may, which cases have in several orders.
        """
        shown = tuple(visible(each, quote=False) for each in tokens)
        if (shown, ordered) != (self._tokens, self._ordered):
            self._tokens, self._ordered = shown, ordered
            self.clear(len(shown), len(shown))

    def ref(self, cell: Cell) -> QueryKey:
        """The tokens of a cell; the one that looks sees none after itself."""
        return QueryKey(cell[1], min(cell) if self._ordered else cell[0])

    def cell(self, ref: QueryKey) -> Cell:
        """The cell of two tokens."""
        return ref.key, ref.query

    def layout_for(self, width: int, height: int) -> CellLayout:
        """With the tokens below their columns where all of these fit, else as small as it takes."""
        tokens = len(self._tokens)
        digits = len(str(max(tokens - 1, 0)))
        widest = max(map(cell_len, self._tokens), default=0)
        # Longer names may take what the narrowest cells with their tokens below them leave.
        spare = min(width - LEAST_TOKEN * tokens - digits - 2, width // NAMES)
        name = min(widest, max(MOST_NAME, spare))
        names = tuple(
            f"{place:>{digits}} {cell_fit(text, name)}" for place, text in enumerate(self._tokens)
        )
        gutter = digits + name + 2
        fair = (width - gutter) // max(1, tokens)
        strips = int(fair >= LEAST_TOKEN)
        high = max(1, height - HEADER - strips)
        halves = not self.glyphs and tokens > high
        lines = ROOMY if strips and ROOMY * tokens <= high else 1
        pitch = max(LEAST_TOKEN, min(fair, widest + 1, MOST_TOKEN)) if strips else max(1, fair)
        fill = pitch - 1 if pitch > 2 else pitch
        return CellLayout(
            tokens,
            tokens,
            gutter,
            pitch,
            fill,
            halves,
            lines,
            footer=strips,
            strips=strips,
            names=names,
        )

    def footer(self, lines: CellLines, strip: int) -> Line:
        """The tokens that are looked at."""
        fill = self.geometry.fill
        return lines.texts([_cut(each, fill) for each in self._tokens])


def _cut(token: str, width: int) -> str:
    """As many letters of a token as a column has; a sign for what is cut would take one of them."""
    text = token.removeprefix(SPACE) or token
    while cell_len(text) > width:
        text = text[:-1]
    return text
