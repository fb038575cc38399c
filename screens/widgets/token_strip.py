"""A prompt as the model sees it: its tokens as numbered chips, then the answer's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.colours import change_ramp, needs_glyphs
from screens.keys import shipped, unlisted
from screens.text import cell_fit, visible


@dataclass(frozen=True, slots=True)
class Chip:
    """One token as drawn."""

    number: str
    text: str
    kind: str
    """Component class that styles it."""
    share: float | None = None
    """Its value around zero, as a share of the largest; None: it is not shaded."""

    @property
    def width(self) -> int:
        """Cells, with a blank inside each end."""
        between = 1 if self.number else 0
        return 2 + len(self.number) + between + cell_len(self.text)


ARROW = Chip("", "→", "arrow")


def chips(
    tokens: Sequence[str],
    special: Collection[int],
    answer: Sequence[str],
    marked: Collection[int] = (),
    values: Mapping[int, float] = MappingProxyType({}),
) -> list[Chip]:
    """The chips of a prompt and its answer, in order."""
    most = max(map(abs, values.values()), default=0.0) or 1.0
    shares = {place: value / most for place, value in values.items() if value == value}
    found = []
    for place, token in enumerate(tokens):
        kind = "special" if place in special else "odd" if place % 2 else "even"
        if place in marked:
            kind = "marked"
        text = visible(token, quote=False)
        found.append(Chip(str(place), text, kind, shares.get(place)))
    if answer:
        found.append(ARROW)
        for place, token in enumerate(answer):
            kind = "answer-odd" if place % 2 else "answer-even"
            found.append(Chip("", visible(token, quote=False), kind))
    return found


def wrap(line_of: Sequence[Chip], width: int) -> list[list[Chip]]:
    """Chips set in lines no wider than `width`; one that is wider than a line stands alone.

    The arrow goes to the next line with the answer it points to, unless they fit on none together.
    """
    lines: list[list[Chip]] = []
    room = 0
    for chip, after in zip_longest(line_of, line_of[1:]):
        needed = chip.width
        if chip is ARROW and after is not None and needed + after.width <= width:
            needed += after.width
        if not lines or needed > room:
            lines.append([])
            room = width
        lines[-1].append(chip)
        room -= chip.width
    return lines


class TokenStrip(ScrollView, can_focus=True):
    """Numbered chips, alternately shaded, wrapped to the width; scrolls if there are many.

    Its height follows the content; give it a `max-height` in the screen's style sheet.
    """

    DEFAULT_CSS = """
    TokenStrip {
        width: 1fr;
        height: auto;
        background: transparent;
        overflow-x: hidden;
        scrollbar-size: 0 1;
        scrollbar-color: $foreground 25%;
        scrollbar-background: transparent;
        & > .token-strip--even { color: $foreground; background: $foreground 7%; }
        & > .token-strip--odd { color: $foreground; background: $foreground 14%; }
        & > .token-strip--special {
            color: $text-muted; background: transparent; text-style: italic;
        }
        & > .token-strip--marked { color: $warning; background: $warning 20%; text-style: bold; }
        & > .token-strip--answer-even { color: $accent; background: $accent 12%; text-style: bold; }
        & > .token-strip--answer-odd { color: $accent; background: $accent 22%; text-style: bold; }
        /* Blends become solid in an ANSI theme and would hide the text. */
        &:ansi > .token-strip--answer-even { background: transparent; }
        &:ansi > .token-strip--answer-odd { background: transparent; text-style: bold underline; }
        &:ansi > .token-strip--odd { background: transparent; text-style: underline; }
        & > .token-strip--arrow { color: $accent; }
        & > .token-strip--number { color: $foreground 50%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "token-strip--even",
        "token-strip--odd",
        "token-strip--special",
        "token-strip--marked",
        "token-strip--answer-even",
        "token-strip--answer-odd",
        "token-strip--arrow",
        "token-strip--number",
    }
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("k", "scroll_up", "Up", id="strip.up"),
            unlisted("j", "scroll_down", "Down", id="strip.down"),
            unlisted("g", "scroll_home", "Start", id="strip.start"),
            unlisted("G", "scroll_end", "End", id="strip.end"),
        ],
    )
    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self._chips: list[Chip] = []
        self._wrapped: tuple[int, list[list[Chip]]] = (0, [])

    def set_tokens(
        self,
        tokens: Sequence[str],
        special: Collection[int] = (),
        answer: Sequence[str] = (),
        marked: Collection[int] = (),
        values: Mapping[int, float] = MappingProxyType({}),
    ) -> None:
        """Show these tokens.

        Args:
            tokens: the prompt's tokens in order.
            special: places of tokens that no text stands for, such as the start of the sequence.
            answer: tokens of the answer.
            marked: places of tokens that stand out, as those that differ from another prompt's.
            values: by places what tokens are shaded by, around zero.
        """
        self._chips = chips(tokens, special, answer, marked, values)
        self._wrapped = (0, [])
        self._resize()
        self.scroll_home(animate=False)
        self.refresh(layout=True)

    @property
    def is_empty(self) -> bool:
        """Whether there are no tokens to show."""
        return not self._chips

    def on_resize(self) -> None:
        """Wrap to the new width."""
        self._resize()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """As many lines as the chips need."""
        return max(1, len(self._lines(width)))

    def _resize(self) -> None:
        width = self.scrollable_content_region.width
        self.virtual_size = Size(width, len(self._lines(width)))

    def _lines(self, width: int) -> list[list[Chip]]:
        if self._wrapped[0] != width:
            self._wrapped = (width, wrap(self._chips, width))
        return self._wrapped[1]

    def render_line(self, y: int) -> Strip:
        """One line of chips."""
        width = self.scrollable_content_region.width
        lines, place = self._lines(width), y + self.scroll_offset.y
        segments: list[Segment] = []
        if place < len(lines):
            for chip in lines[place]:
                segments += self._draw(chip, width)
        return Strip(segments).adjust_cell_length(width, self.rich_style)

    def _draw(self, chip: Chip, width: int) -> list[Segment]:
        style = self.get_component_rich_style(f"token-strip--{chip.kind}")
        glyphs = needs_glyphs(self.app)
        if chip.kind.endswith("odd") and glyphs:  # shades would look alike
            style += Style(underline=True)
        number = self.get_component_rich_style("token-strip--number")
        faint = style + number.without_color + Style(color=number.color, bold=False)
        end = " "
        if (level := self._level(chip)) is not None:
            ramp = change_ramp(self.app.current_theme)
            if glyphs:
                end = ramp.glyphs[level]
            else:
                style = faint = ramp.contrasts[level]
        segments = [Segment(" ", style)]
        if chip.number:
            segments.append(Segment(f"{chip.number} ", faint + Style(bold=False)))
        room = width - chip.width + cell_len(chip.text)
        text = chip.text if room >= cell_len(chip.text) else cell_fit(chip.text, max(1, room))
        return [*segments, Segment(text, style), Segment(end, style)]

    def _level(self, chip: Chip) -> int | None:
        """The step of the ramp that shades a chip; None where that is none or the middle."""
        if chip.share is None:
            return None
        ramp = change_ramp(self.app.current_theme)
        level = ramp.index(chip.share, -1.0, 1.0)
        return None if level == len(ramp) // 2 else level
