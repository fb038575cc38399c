"""The legend of a ramp: what its colours mean, on one line."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from screens.ramps import Ramp, amount_ramp, change_ramp, needs_glyphs
from screens.text import cell_fit, number


class Legend(Widget):
    """`harm −2.1 ██▓▓▒▒░░··░░ +0.3 help`, in the colours the values are drawn with.

    The bar runs from the lowest to the highest value in even steps, so a side that reaches less
    far shows fewer of its colours.

    Args:
        low_word: what the low end means.
        high_word: what the high end means.
        centred: the legend of changes around zero rather than of amounts.
        decimals: digits after the point.
        glyphs: draw glyphs instead of colours; None asks the terminal.
    """

    DEFAULT_CSS = """
    Legend {
        width: 1fr;
        height: 1;
        background: transparent;
        & > .legend--word { color: $text-muted; }
        & > .legend--number { color: $foreground; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {"legend--word", "legend--number"}

    BAR = 17
    """Columns of the bar."""

    def __init__(
        self,
        low_word: str = "harm",
        high_word: str = "help",
        *,
        centred: bool = True,
        decimals: int = 1,
        glyphs: bool | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._words = (low_word, high_word)
        self._centred = centred
        self._decimals = decimals
        self._glyphs = glyphs
        self._scale: tuple[float, float] | None = None
        self._note: tuple[str, ...] = ()

    def set_note(self, *parts: str) -> None:
        """Say at the right what the numbers are; the last parts are left out where it is narrow."""
        self._note = parts
        self.refresh()

    def set_scale(self, low: float, high: float) -> None:
        """Show this range."""
        self._scale = (low, high)
        self.refresh()

    def set_meaning(
        self, low_word: str, high_word: str, *, centred: bool = True, decimals: int = 1
    ) -> None:
        """Name the ends anew, and choose the ramp and the digits that go with them."""
        self._words, self._centred, self._decimals = (low_word, high_word), centred, decimals
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line; blank until there is a range to show."""
        _, background = self.background_colors
        blank = Style(bgcolor=background.rich_color)
        if y > 0 or self._scale is None or self._scale[0] == self._scale[1] == 0:
            return Strip.blank(self.size.width, blank)
        word = self.get_component_rich_style("legend--word")
        digits = self.get_component_rich_style("legend--number")
        low, high = (number(value, self._decimals, sign=self._centred) for value in self._scale)
        segments = [
            Segment(f"{self._words[0]} ", word),
            Segment(f"{low} ", digits),
            *self._bar(blank),
            Segment(f" {high}", digits),
            Segment(f" {self._words[1]}", word),
        ]
        room = self.size.width - sum(segment.cell_length for segment in segments) - 2
        if note := self._fitting(room):
            segments.append(Segment("  " + cell_fit(note, room, "right"), word))
        return Strip(segments).adjust_cell_length(self.size.width, blank)

    def _fitting(self, room: int) -> str:
        """As much of the note as there is room for."""
        notes = (" · ".join(self._note[:count]) for count in range(len(self._note), 0, -1))
        return next((note for note in notes if cell_len(note) <= room), "")

    def _bar(self, blank: Style) -> list[Segment]:
        assert self._scale is not None
        low, high = self._scale
        dark = self.app.current_theme.dark
        ramp: Ramp = change_ramp(dark) if self._centred else amount_ramp(dark)
        glyphs = needs_glyphs(self.app) if self._glyphs is None else self._glyphs
        ink = blank + Style(color=self.get_component_rich_style("legend--number").color)
        bar, step = [], (high - low) / (self.BAR - 1)
        for column in range(self.BAR):
            value = low + column * step
            # Most values are next to nothing, so that glyph is explained wherever zero falls.
            if glyphs and self._centred and abs(value) <= step / 2:
                value = 0.0
            level = ramp.index(value, low, high)
            if glyphs:
                bar.append(Segment(ramp.glyphs[level], ink))
            else:
                bar.append(Segment(" ", ramp.fills[level]))
        return bar
