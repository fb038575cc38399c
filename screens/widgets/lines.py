"""Facts on one line each: the keys, a running job, the status, the legend of the colours."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer
from textual.widgets._footer import FooterKey, FooterLabel

from screens.colours import Ramp, needs_glyphs, ramp_of
from screens.text import cell_fit, how_far, number, one_line

ALWAYS = ("keys", "replay(-1)")
"""Actions whose keys are said however narrow the line is: the list of all keys, and a replay's
steps."""


KEPT = inf
"""The importance of what stays however narrow a line is."""


def fitting(importance: Sequence[float], lengths: Sequence[int], width: int) -> list[int]:
    """The places of those that fit on a line whole, in their order.

    What matters most comes first, among equals the first; what is longer than the room left makes
    way for what is not, and what is `KEPT` for nothing. This is the rule of every line of keys and
    facts.

    Args:
        importance: of each.
        lengths: cells of each, with what stands between it and the next.
        width: cells there are.
    """
    places, room = [], width
    for place in sorted(range(len(lengths)), key=lambda place: (-importance[place], place)):
        if lengths[place] <= room or importance[place] == KEPT:
            places.append(place)
            room -= lengths[place]
    return sorted(places)


class KeyLine(Footer):
    """The keys of the screen in front; one that does not fit is left out, not cut.

    What matters most is said by the order of `BINDINGS`: the last are left out first, if they are
    not short enough for the room that a longer one leaves.
    """

    def __init__(self) -> None:
        super().__init__(show_command_palette=False)
        self._made_of: list[tuple[Binding, bool]] | None = None
        """The keys it was made of, and whether each can be pressed now."""

    async def recompose(self) -> None:
        """Show other keys; making the same ones anew would cost a layout of the whole screen."""
        keys = [
            (binding, enabled)
            for _, binding, enabled, _ in self.screen.active_bindings.values()
            if binding.show
        ]
        if keys != self._made_of:
            self._made_of = keys
            await super().recompose()
        self.call_after_refresh(self._leave_out)

    def on_resize(self) -> None:
        """Choose anew for another width."""
        for each in self.children:
            each.display = True
        self.call_after_refresh(self._leave_out)

    def _leave_out(self) -> None:
        """Hide the keys that do not fit."""
        keys: list[list[Widget]] = []
        for each in self.children:
            if isinstance(each, FooterLabel) and keys:
                keys[-1].append(each)  # names the keys before it
            else:
                keys.append([each])
        kept = [
            KEPT if any(key.action in ALWAYS for key in _keys_of(each[0])) else 0 for each in keys
        ]
        lengths = [
            sum(part.outer_size.width + part.styles.margin.width for part in each) for each in keys
        ]
        shown = fitting(kept, lengths, self.size.width)
        for place, parts in enumerate(keys):
            for part in parts:
                part.display = place in shown


def _keys_of(part: Widget) -> Iterator[FooterKey]:
    """The keys of a part of the line, which are several where they share a name."""
    return (each for each in part.walk_children(with_self=True) if isinstance(each, FooterKey))


_LEAST_BAR = 8


class ProgressLine(Widget):
    """`sweep  ━━━━━━━━━━━━──────  212 of 270 · 11 s left · esc stops`."""

    DEFAULT_CSS = """
    ProgressLine {
        width: 1fr;
        height: 1;
        background: transparent;
        & > .progress-line--label { color: $foreground; }
        & > .progress-line--done { color: $accent; }
        & > .progress-line--left { color: $foreground 25%; }
        & > .progress-line--words { color: $text-muted; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "progress-line--label",
        "progress-line--done",
        "progress-line--left",
        "progress-line--words",
    }

    def __init__(self) -> None:
        super().__init__()
        self._job: _Job | None = None

    @property
    def active(self) -> bool:
        """Whether a job is shown."""
        return self._job is not None

    def show(
        self,
        label: str,
        done: int,
        expected: int | None,
        seconds_left: float | None = None,
        hint: str = "",
        doing: str = "",
        under_way: float = 0.0,
        since: float | None = None,
    ) -> None:
        """Show how far a job is.

        Args:
            label: what runs.
            done: finished rows.
            expected: rows there will be; None if nobody knows, then no bar and no numbers.
            seconds_left: time the rest will take; None if unknown.
            hint: the key that ends it.
            doing: what it does for the next row; left out where there is no room for a bar beside
                it, and cut where there is no bar.
            under_way: how many rows' worth of the next ones is done.
            since: when it began, by the clock of `time.monotonic`; the time since then goes on by
                itself. None: it is not shown.
        """
        self._job = _Job(label, doing, done, under_way, expected, seconds_left, hint, since)
        self.auto_refresh = None if since is None else _TICK
        self.refresh()

    def idle(self) -> None:
        """Show nothing; the line keeps its place."""
        self._job = None
        self.auto_refresh = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        blank = self.rich_style
        if self._job is None or y > 0:
            return Strip.blank(width, blank)
        label, expected = self._job.label, self._job.expected
        words = self._job.words(width - len(f"{label}  "))
        done = self._job.done + self._job.under_way
        doing = one_line(self._job.doing)
        beside = width - len(f"{label}    {words}") - (0 if expected is None else _LEAST_BAR)
        if expected is None:
            doing = cell_fit(doing, max(0, min(cell_len(doing), beside)))
        if doing and cell_len(doing) <= beside:
            label = f"{label}  {doing}"
        style = self.get_component_rich_style
        label = cell_fit(label, min(cell_len(label), width))
        segments = [Segment(f"{label}  ", style(_NAME + "label"))]
        room = width - cell_len(label) - 2 - len(words) - 2
        if expected is not None and room >= _LEAST_BAR:
            share = 1.0 if expected <= 0 else min(max(done / expected, 0.0), 1.0)
            full = int(share * room)
            segments += [
                Segment("━" * full, style(_NAME + "done")),
                Segment("─" * (room - full), style(_NAME + "left")),
                Segment("  ", blank),
            ]
        segments.append(Segment(words, style(_NAME + "words")))
        return _fitted(segments, width, blank)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a progress line shows."""

    label: str
    doing: str
    done: int
    under_way: float
    expected: int | None
    left: float | None
    hint: str
    since: float | None

    def words(self, width: int) -> str:
        """What stands behind the bar, as of now, as much of it as so many cells have room for."""
        elapsed = None if self.since is None else time.monotonic() - self.since
        facts = (
            (how_far(self.done, self.expected), 2),
            (how_far(0, None, elapsed), 0),
            (how_far(0, None, None, self.left), 1),
            (self.hint, 3),
        )
        told = [(words, importance) for words, importance in facts if words]
        lengths = [cell_len(words) + len(" · ") for words, _ in told]
        places = fitting([importance for _, importance in told], lengths, width + len(" · "))
        return " · ".join(told[place][0] for place in places)


_TICK = 1.0
"""Seconds between two pictures of a line whose time goes on."""
_NAME = "progress-line--"


def _fitted(segments: list[Segment], width: int, blank: Style) -> Strip:
    return Strip(segments).adjust_cell_length(width, blank)


Severity = Literal["plain", "ok", "warn", "error"]

_BAR = " │ "


@dataclass(frozen=True, slots=True)
class StatusItem:
    """One fact."""

    text: str
    severity: Severity = "plain"
    importance: float = 0
    """Items with less go first where the line is narrow; see `fitting`."""


def choose(items: Sequence[StatusItem], width: int) -> list[StatusItem]:
    """The items that fit, in their order; the first always stays."""
    shown = [item for item in items if item.text]
    importance = [KEPT, *(item.importance for item in shown[1:])]
    lengths = [cell_len(one_line(item.text)) + len(_BAR) for item in shown]
    return [shown[place] for place in fitting(importance, lengths, width + len(_BAR))]


class StatusLine(Widget):
    """`smollm2-135m float32 cpu │ parity 3e-6 │ session add1-1 ✓`."""

    DEFAULT_CSS = """
    StatusLine {
        width: 1fr;
        height: 1;
        background: transparent;
        & > .status-line--plain { color: $text-muted; }
        & > .status-line--ok { color: $text-success; }
        & > .status-line--warn { color: $text-warning; }
        & > .status-line--error { color: $text-error; text-style: bold; }
        & > .status-line--bar { color: $foreground 25%; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "status-line--plain",
        "status-line--ok",
        "status-line--warn",
        "status-line--error",
        "status-line--bar",
    }

    def __init__(self) -> None:
        super().__init__()
        self._items: list[StatusItem] = []

    def set_items(self, items: Sequence[StatusItem | str]) -> None:
        """Show these facts; a plain string is one without a severity."""
        self._items = [StatusItem(item) if isinstance(item, str) else item for item in items]
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        if y > 0:
            return Strip.blank(width, self.rich_style)
        segments: list[Segment] = []
        for item in choose(self._items, width):
            if segments:
                bar = self.get_component_rich_style("status-line--bar")
                segments.append(Segment(_BAR, bar))
            style = self.get_component_rich_style(f"status-line--{item.severity}")
            text = one_line(item.text)
            segments.append(Segment(cell_fit(text, min(cell_len(text), width)), style))
        return Strip(segments).adjust_cell_length(width, self.rich_style)


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
    ) -> None:
        super().__init__()
        self._words = (low_word, high_word)
        self._centred = centred
        self._decimals = decimals
        self._rooted = False
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
        self,
        low_word: str,
        high_word: str,
        *,
        centred: bool = True,
        decimals: int = 1,
        rooted: bool = False,
    ) -> None:
        """Name the ends anew, and choose the ramp and the digits that go with them."""
        self._words, self._centred, self._decimals = (low_word, high_word), centred, decimals
        self._rooted = rooted
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
        theme = self.app.current_theme
        ramp: Ramp = ramp_of(theme, centred=self._centred, rooted=self._rooted)
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
