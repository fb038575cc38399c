"""Segments for the cells of a head map, made once for each look a cell can have."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import color as textual_color

from screens.colours import PENDING, Ramp, Rgb, blend
from screens.widgets.bars import step_of

_ESTIMATE_SHARE = 0.55
"""How much of an estimate's colour is left where there is no room for a texture."""

Segments = tuple[Segment, ...]


class Look(NamedTuple):
    """All that decides how one head is drawn."""

    level: int = PENDING
    """Step of the ramp."""
    exact: bool = True
    marked: bool = False
    cursor: bool = False
    sign: str = ""
    """A letter on the cell, where it has a line of its own and no mark."""

    @property
    def written(self) -> str:
        """What stands on the cell."""
        return "•" if self.marked else self.sign


ABSENT = Look(level=PENDING - 1)
"""No cell: the lower half of the last line when the number of heads is odd, or beyond the edge."""


class CellPaint:
    """Draws cells with one ramp on one background.

    Args:
        ramp: colours and glyphs of the values.
        background: what lies behind the cells.
        cursor: bright ink for brackets and for the cursor's half cell.
        mark: ink of the dot on a marked cell.
        pending: ink of the dots where values are still missing.
        glyphs: draw glyphs in the terminal's own ink, because colours are too few.
    """

    def __init__(
        self,
        ramp: Ramp,
        background: textual_color.Color,
        *,
        cursor: Style,
        mark: Style,
        pending: Style,
        glyphs: bool,
    ) -> None:
        self.ramp = ramp
        self.background: Rgb = background.rgb
        self.cursor = cursor
        self.mark = mark
        self.pending = pending
        self.glyphs = glyphs
        # An ANSI theme leaves the background to the terminal; its Rich colour knows that.
        self.blank = Style(bgcolor=background.rich_color)
        # A map has few looks and many cells: each look becomes segments once.
        self.whole = lru_cache(maxsize=None)(self._whole)
        self.halves = lru_cache(maxsize=None)(self._halves)

    def _whole(self, look: Look, width: int, gap: int) -> Segments:
        """One head on a line of its own."""
        if self.glyphs:
            return (self._glyph(look, width, gap),)
        if look.level == ABSENT.level and not look.cursor:
            return (Segment(" " * width, self.blank),)
        if look.level < 0:
            if look.cursor and not gap:
                return (Segment("[]" if width == 2 else "◆", self.blank + self.cursor),)
            style = self.pending + Style(bold=look.cursor)
            return (Segment(("•" if look.marked else "·") * width, self.blank + style),)
        if look.cursor and not gap:
            return (Segment("[]" if width == 2 else "◆", self.ramp.contrasts[look.level]),)
        if look.written and look.exact:
            return (Segment(look.written.ljust(width), self.ramp.contrasts[look.level]),)
        if look.exact:
            return (Segment(" " * width, self.ramp.fills[look.level]),)
        ink = self.blank + self.ramp.inks[look.level]
        if look.written:
            return (Segment(look.written.ljust(width, "▒"), ink),)
        if width == 1:
            return (Segment(" ", Style(bgcolor=self._color(look))),)
        return (Segment("▒" * width, ink),)

    def _halves(self, upper: Look, lower: Look, width: int, gap: int) -> Segments:
        """Two heads on one line, the upper in the upper half of its cells."""
        return tuple(self._half(upper, lower, column, width, gap) for column in range(width))

    def bar(self, look: Look, share: float, width: int) -> Segment:
        """A bar below a layer, as high as a share of the line; too few colours show its step."""
        if look.level < 0:
            return Segment(" " * width, self.blank)
        if self.glyphs:
            text = self.ramp.glyphs[look.level] * width
            return Segment(text, self.blank + self.mark + Style(dim=not look.exact))
        ink = self.blank + Style(color=self._color(look))
        return Segment(step_of(share) * width, ink)

    def bracket(self, upper: bool, lower: bool, *, opens: bool, closes: bool) -> Segment:
        """The gap between two cells, of which the cursor may be on one.

        Args:
            upper: the cursor is in the upper half, or the line has no halves.
            lower: the cursor is in the lower half, or the line has no halves.
            opens: the cursor's cell begins here.
            closes: the cursor's cell ends here.
        """
        if not (opens or closes):
            return Segment(" ", self.blank)
        if upper and lower:
            return Segment("▐" if opens else "▌", self.blank + self.cursor)
        return Segment("▀" if upper else "▄", self.blank + self.cursor)

    def _half(self, upper: Look, lower: Look, column: int, width: int, gap: int) -> Segment:
        if upper.level < 0 and lower.level < 0 and not (upper.cursor or lower.cursor):
            waiting = [each.level != ABSENT.level for each in (upper, lower)]
            text = ":" if all(waiting) else "·" if waiting[0] else " "
            return Segment(text, self.blank + self.pending)
        top = self._half_color(upper, column, width, gap)
        bottom = self._half_color(lower, column, width, gap)
        if top is None and bottom is None:
            return Segment(" ", self.blank)
        if top is None:
            return Segment("▄", self.blank + Style(color=bottom))
        if bottom is None:
            return Segment("▀", self.blank + Style(color=top))
        return Segment("▀", Style(color=top, bgcolor=bottom))

    def _half_color(self, look: Look, column: int, width: int, gap: int) -> Color | None:
        """The colour of one half of one column; None leaves it to the background."""
        last = width > 1 and column == width - 1
        # The cursor covers its half cell where no gap is left for a bracket beside it.
        if look.cursor and (not gap or look.level < 0):
            return self.cursor.color
        if look.level < 0:
            return None
        if look.marked and last:
            return self.mark.color
        if not look.exact and last:
            return None
        return self._color(look)

    def _color(self, look: Look) -> Color:
        rgb = self.ramp.colors[look.level]
        return Color.from_rgb(
            *(rgb if look.exact else blend(rgb, self.background, _ESTIMATE_SHARE))
        )

    def _glyph(self, look: Look, width: int, gap: int) -> Segment:
        style = self.blank + self.mark
        if look.level < 0:
            text = " " * width
        else:
            text = self.ramp.glyphs[look.level] * width
            style += Style(dim=not look.exact, bold=look.marked)
            if not look.exact and width > 1:
                text = text[:-1] + "~"
            elif look.written and width > 1:
                text = text[:-1] + look.written
        if look.cursor and not gap:
            style += Style(reverse=True, dim=False)
        return Segment(text, style)
