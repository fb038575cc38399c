"""A prompt as running text whose tokens are shaded by a value, with a cursor on one of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.colours import PENDING, Ramp, ink, needs_glyphs, ramp_of, solid
from screens.keys import shipped, unlisted
from screens.text import NOTHING, cell_fit, visible
from screens.widgets import WidgetMessage

MARGIN = 1
"""Cells left of a line, which the cursor's bracket may use."""
APART = "  "
"""What keeps tokens farther apart."""
STRONG = 3
"""Steps of the ramp from which a token is bold too."""
EMPTY = '""'
"""A token that has no text."""


@dataclass(frozen=True, slots=True)
class TokenAt:
    """A token where it stands."""

    place: int
    """In the prompt."""
    text: str
    start: int
    """Cells before it in its line."""

    @property
    def end(self) -> int:
        """The cell behind it."""
        return self.start + cell_len(self.text)


def set_in_lines(tokens: Sequence[str | None], width: int, gap: int) -> list[list[TokenAt]]:
    """Tokens set in lines of so many cells, which end where the prompt's lines end too.

    Args:
        tokens: of the prompt.
        width: cells of a line.
        gap: blank cells after each token.
    """
    lines: list[list[TokenAt]] = [[]]
    room = max(1, width - 2 * MARGIN - gap)
    start = MARGIN
    for place, token in enumerate(tokens):
        text = visible(token, quote=False) or EMPTY
        text = text if cell_len(text) <= room else cell_fit(text, room)
        if lines[-1] and start + cell_len(text) + gap > width:
            lines.append([])
            start = MARGIN
        lines[-1].append(TokenAt(place, text, start))
        start = lines[-1][-1].end + gap
        if (token or "").endswith("\n") and place + 1 < len(tokens):
            lines.append([])
            start = MARGIN
    return lines


class PromptText(ScrollView, can_focus=True, inherit_bindings=False):
    """The tokens of a prompt, each shaded by what is known of it. Those behind the cursor of which
    nothing is are dim: it looks at none of them.

    Its height follows the content; give it a `max-height` in the screen's style sheet.
    """

    DEFAULT_CSS = """
    PromptText {
        width: 1fr;
        height: auto;
        background: transparent;
        overflow-x: hidden;
        scrollbar-size: 0 1;
        scrollbar-color: $foreground 25%;
        scrollbar-background: transparent;
        & > .prompt-text--seen { color: $foreground; }
        & > .prompt-text--unknown { color: $foreground 60%; text-style: italic; }
        & > .prompt-text--later { color: $foreground 35%; }
        & > .prompt-text--cursor { color: $foreground; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "prompt-text--seen",
        "prompt-text--unknown",
        "prompt-text--later",
        "prompt-text--cursor",
    }
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("up,k", "move(-1)", "Token before", id="text.token-before"),
            unlisted("down,j", "move(1)", "Token after", id="text.token-after"),
            unlisted("pageup", "line(-1)", "Line above", id="text.line-above"),
            unlisted("pagedown", "line(1)", "Line below", id="text.line-below"),
            unlisted("home,g", "edge(0)", "First token", id="text.first-token"),
            unlisted("end,G", "edge(-1)", "Last token", id="text.last-token"),
        ],
    )
    ALLOW_SELECT = False
    cursor: reactive[int] = reactive(0, repaint=False)
    """The place of the token under the cursor."""

    class TokenHighlighted(WidgetMessage["PromptText"]):
        """Another token is under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens: tuple[str | None, ...] = ()
        self._spread = False
        self._values: Mapping[int, float] = {}
        self._scale = (0.0, 1.0)
        self._centred = False
        self._set: tuple[tuple[int, int], list[list[TokenAt]]] = ((0, 0), [])

    def set_tokens(self, tokens: Sequence[str | None], spread: bool = False) -> None:
        """Show these, none of them shaded; the cursor stays where it is, if it can.

        Args:
            tokens: of the prompt.
            spread: keep them farther apart, as names of several words need.
        """
        self._tokens, self._spread = tuple(tokens), spread
        self._set, self._values = ((0, 0), []), {}
        self.cursor = self.validate_cursor(self.cursor)
        self._fit()
        self.refresh(layout=True)

    def set_values(
        self, values: Mapping[int, float], scale: tuple[float, float], *, centred: bool = False
    ) -> None:
        """Shade tokens.

        Args:
            values: by places; of the other tokens up to the cursor nothing is known.
            scale: what the ends of the colours mean.
            centred: the values are changes around zero rather than shares.
        """
        self._values, self._scale, self._centred = values, scale, centred
        self.refresh()

    @property
    def glyphs(self) -> bool:
        """Whether glyphs stand for colours."""
        return needs_glyphs(self.app)

    @property
    def _gap(self) -> int:
        """Cells between two tokens: where there are no colours, the first has a glyph."""
        return (2 if self.glyphs else 1) + len(APART) * self._spread

    def on_resize(self) -> None:
        """Set the lines anew."""
        self._fit()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the tokens need."""
        return max(1, len(self._lines(width)))

    def _fit(self) -> None:
        if not self.is_attached:
            return  # the first resize will do it
        width = self.scrollable_content_region.width
        self.virtual_size = Size(width, len(self._lines(width)))
        self.call_after_refresh(self._show_cursor)

    def _lines(self, width: int) -> list[list[TokenAt]]:
        state = (width, self._gap)
        if self._set[0] != state:
            self._set = (state, set_in_lines(self._tokens, width, self._gap))
        return self._set[1]

    def _line_of(self, place: int) -> int:
        """The line that a token stands in."""
        firsts = [line[0].place for line in self._shown if line]
        return max(0, bisect_right(firsts, place) - 1)

    @property
    def _shown(self) -> list[list[TokenAt]]:
        return self._lines(self.scrollable_content_region.width)

    def render_line(self, y: int) -> Strip:
        """One line of tokens."""
        width, place = self.scrollable_content_region.width, y + self.scroll_offset.y
        lines = self._shown
        _, background = self.background_colors
        blank = Style(bgcolor=background.rich_color)
        if not 0 <= place < len(lines):
            return Strip.blank(width, blank)
        ramp = ramp_of(self.app.current_theme, centred=self._centred, rooted=True)
        bracket = blank + solid(self, "prompt-text--cursor")
        segments, behind = [], False
        for each in lines[place]:
            here = each.place == self.cursor
            segments.append(Segment("▐" if here else "▌" if behind else " ", bracket))
            segments += self._token(each, ramp, blank)
            behind = here
            if self._spread:
                segments += [Segment("▌" if here else " ", bracket), Segment(APART[1:], blank)]
                behind = False
        segments.append(Segment("▌" if behind else " ", bracket))
        return Strip(segments).adjust_cell_length(width, blank)

    def _token(self, each: TokenAt, ramp: Ramp, blank: Style) -> list[Segment]:
        """A token on the colour of its value, or before the glyph of it."""
        value = self._values.get(each.place)
        level = PENDING if value is None else ramp.index(value, *self._scale)
        quiet = len(ramp) // 2 if ramp.centred else 0
        later = each.place > self.cursor and level < 0
        if later:
            style = blank + ink(self, "prompt-text--later")
        elif level < 0:
            style = blank + ink(self, "prompt-text--unknown")
        elif level == quiet or self.glyphs:
            style = blank + ink(self, "prompt-text--seen") + Style(bold=level != quiet)
        else:
            strong = abs(level - quiet) >= STRONG
            style = ramp.contrasts[level] + Style(bold=strong)
        segments = [Segment(each.text, style)]
        if self.glyphs:
            glyph = " " if later else NOTHING if level < 0 else None
            glyph = glyph or (" " if level == quiet else ramp.glyphs[level])
            segments.append(Segment(glyph, blank + ink(self, "prompt-text--seen")))
        return segments

    def validate_cursor(self, place: int) -> int:
        """Keep the cursor in the prompt."""
        return max(0, min(place, len(self._tokens) - 1))

    def watch_cursor(self, before: int, place: int) -> None:
        """What is shaded follows from where the cursor is."""
        self.refresh()
        self._show_cursor()
        self.post_message(self.TokenHighlighted(self))

    def _show_cursor(self) -> None:
        line, high = self._line_of(self.cursor), self.size.height
        top = min(max(self.scroll_offset.y, line - high + 1), line)
        if high and top != self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the token."""
        at = event.get_content_offset(self)
        lines = self._shown
        if at is None or not at.y + self.scroll_offset.y < len(lines):
            return
        for each in lines[at.y + self.scroll_offset.y]:
            if each.start <= at.x < each.end:
                self.cursor = each.place

    def action_move(self, by: int) -> None:
        """Go so many tokens on."""
        self.cursor += by

    def action_edge(self, place: int) -> None:
        """Go to the first or the last token."""
        self.cursor = place % max(1, len(self._tokens))

    def action_line(self, by: int) -> None:
        """Go to the token above or below, or beyond the lines to the first or the last one."""
        lines, here = self._shown, self._line_of(self.cursor)
        if not self._tokens or not 0 <= here + by < len(lines):
            self.action_edge(0 if by < 0 else -1)
            return
        start = next(each.start for each in lines[here] if each.place == self.cursor)
        near = min(lines[here + by], key=lambda each: abs(each.start - start))
        self.cursor = near.place
