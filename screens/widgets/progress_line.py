"""What a running job has done, on one line that stays blank when nothing runs."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from screens.text import cell_fit, count, duration

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

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._job: tuple[str, str, float, int | None, str] | None = None

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
    ) -> None:
        """Show how far a job is.

        Args:
            label: what runs.
            done: finished rows.
            expected: rows there will be; None if nobody knows, then no bar and no numbers.
            seconds_left: time the rest will take; None if unknown.
            hint: the key that ends it.
            doing: what it does for the next row; left out where there is no room.
            under_way: how many rows' worth of the next ones is done.
        """
        words = [] if expected is None else [f"{count(done)} of {count(expected)}"]
        if seconds_left is not None:
            words.append(f"{duration(seconds_left)} left")
        ending = " · ".join([*words, hint] if hint else words)
        self._job = label, doing, done + under_way, expected, ending
        self.refresh()

    def idle(self) -> None:
        """Show nothing; the line keeps its place."""
        self._job = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """The line."""
        width = self.size.width
        blank = self.rich_style
        if self._job is None or y > 0:
            return Strip.blank(width, blank)
        label, doing, done, expected, words = self._job
        if doing and len(f"{label}  {doing}  ") + _LEAST_BAR + len(f"  {words}") <= width:
            label = f"{label}  {doing}"
        style = self.get_component_rich_style
        segments = [Segment(f"{cell_fit(label, min(len(label), width))}  ", style(_NAME + "label"))]
        room = width - len(label) - 2 - len(words) - 2
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


_NAME = "progress-line--"


def _fitted(segments: list[Segment], width: int, blank: Style) -> Strip:
    return Strip(segments).adjust_cell_length(width, blank)
