"""The tokens that one token looks at, the strongest first: each with a bar and its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from screens.colours import ink, needs_glyphs, ramp_of
from screens.text import cell_fit, count, number, visible

TOKEN = 12
"""Cells of a token at least."""
MOST_TOKEN = 24
NUMBER = 9
"""Cells of a number, with the blanks before it."""
LEAST_BAR, MOST_BAR = 8, 48
EIGHTHS = " ▏▎▍▌▋▊▉"
NOTHING_LEFT = 0.0005
"""A rest that the digits shown would call nothing."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A token that is looked at."""

    place: int
    tokens: tuple[str | None, ...]
    """It, and where another run has another one there that too."""
    values: tuple[float | None, ...]
    """One for each column; None: not known."""

    @property
    def words(self) -> str:
        """What is looked at."""
        return "/".join(visible(each) for each in self.tokens)


@dataclass(frozen=True)
class Looks:
    """What stands in the list."""

    columns: tuple[str, ...] = ()
    """What each number is."""
    rows: Sequence[Looked] = ()
    """In order."""
    wholes: tuple[float | None, ...] = ()
    """What the numbers of each column add up to; None: nothing."""
    seen: int = 0
    """How many tokens are looked at, those too of which nothing is known."""
    main: int = 0
    """The column that the bars show."""
    scale: tuple[float, float] = (0.0, 1.0)
    """What the ends of their colours mean."""
    centred: bool = False
    """The numbers of that column are changes around zero."""


class LookList(Widget):
    """As many tokens as there are lines, then what all others come to."""

    DEFAULT_CSS = """
    LookList {
        width: 1fr;
        height: 1fr;
        background: transparent;
        & > .look-list--label { color: $text-muted; }
        & > .look-list--token { color: $foreground; }
        & > .look-list--number { color: $foreground; }
        & > .look-list--main { color: $foreground; text-style: bold; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "look-list--label",
        "look-list--token",
        "look-list--number",
        "look-list--main",
    }

    def __init__(self) -> None:
        super().__init__()
        self._looks = Looks()

    def show(self, looks: Looks) -> None:
        """Show these."""
        self._looks = looks
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The header, a token, or the rest."""
        width, high = self.size
        _, background = self.background_colors
        blank = Style(bgcolor=background.rich_color)
        shown = self._looks.rows[: max(0, high - 2)]
        if not self._looks.columns or y > len(shown) + 1 or high < 2:
            return Strip.blank(width, blank)
        if y == 0:
            segments = self._header(width)
        elif y <= len(shown):
            segments = self._row(shown[y - 1], width)
        else:
            segments = self._rest(shown, width)
        styled = [Segment(each.text, blank + (each.style or blank)) for each in segments]
        return Strip(styled).adjust_cell_length(width, blank)

    def _widths(self, width: int) -> tuple[int, int, int]:
        """Cells of a place, of a token, and of a bar."""
        looks = self._looks
        place = len(count(max((each.place for each in looks.rows), default=0))) + 1
        longest = max((cell_len(each.words) for each in looks.rows), default=0)
        room = width - 1 - place - NUMBER * len(looks.columns) - 4
        token = max(4, min(max(TOKEN, longest), MOST_TOKEN, room))
        bar = min(room - token, MOST_BAR)
        return place, token, bar if bar >= LEAST_BAR else 0

    def _header(self, width: int) -> list[Segment]:
        place, token, _ = self._widths(width)
        label = ink(self, "look-list--label")
        main = label + Style(bold=True)
        head = " " * (1 + place) + cell_fit(" looks at", token + 1)
        return [
            Segment(head, label),
            *(
                Segment(cell_fit(name, NUMBER, "right"), main if at == self._looks.main else label)
                for at, name in enumerate(self._looks.columns)
            ),
        ]

    def _row(self, row: Looked, width: int) -> list[Segment]:
        place, token, bar = self._widths(width)
        return [
            Segment(f" {count(row.place):>{place - 1}} ", ink(self, "look-list--label")),
            Segment(cell_fit(f" {row.words}", token + 1), ink(self, "look-list--token")),
            *self._numbers(row.values),
            Segment("  "),
            self._bar(row.values[self._looks.main], bar),
        ]

    def _rest(self, shown: Sequence[Looked], width: int) -> list[Segment]:
        """What the tokens that do not stand here come to."""
        place, token, _ = self._widths(width)
        looks, others = self._looks, self._looks.seen - len(shown)
        rest = [
            None if whole is None else whole - sum(row.values[at] or 0.0 for row in shown)
            for at, whole in enumerate(looks.wholes)
        ]
        if all(abs(each or 0.0) < NOTHING_LEFT for each in rest):
            return []
        words = f" {count(others)} others" if others > 0 else " elsewhere"
        return [
            Segment(" " * (1 + place)),
            Segment(cell_fit(words, token + 1), ink(self, "look-list--label")),
            *self._numbers(rest),
        ]

    def _numbers(self, values: Sequence[float | None]) -> list[Segment]:
        """The last of them may have a sign of its own, as the difference of the others."""
        plain, main = ink(self, "look-list--number"), ink(self, "look-list--main")
        looks = self._looks
        found = []
        for at, value in enumerate(values):
            words = number(value, 3, sign=looks.wholes[at] == 0.0)
            style = main if at == looks.main else plain + Style(dim=True)
            found.append(Segment(cell_fit(words, NUMBER, "right"), style))
        return found

    def _bar(self, value: float | None, width: int) -> Segment:
        """As long as the value's share of the largest there can be, in the value's colour."""
        looks = self._looks
        reach = max(abs(end) for end in looks.scale) or 1.0
        eighths = round(min(abs(value or 0.0) / reach, 1.0) * width * 8)
        text = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
        ramp = ramp_of(self.app.current_theme, centred=looks.centred, rooted=True)
        level = ramp.index(value, *looks.scale)
        plain = needs_glyphs(self.app) or level < 0
        style = ink(self, "look-list--number") if plain else ramp.inks[level]
        return Segment(text.ljust(width), style)
