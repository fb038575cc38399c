"""What screens share that show a result as the picture of its shape."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import InputError
from analysis.step import Step
from screens.base import WorkbenchScreen
from screens.by_shape import VIEWS
from screens.cases import titled
from screens.messages import StepRequested
from screens.text import counted, one_line
from screens.views import ShapeView
from screens.workspace import Result
from sessions import View

NO_TABLE = "What is shown here is no table to filter."


class ShapeScreen(WorkbenchScreen):
    """The rows of a result as the picture of their shape, and the cursor in words."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def compose_body(self) -> Iterator[Widget]:
        """A view for each shape, of which one is in sight; below it the cursor in words."""
        self._views = {each: each() for each in VIEWS.values()}
        with Horizontal(id="pictures"):
            yield from self.pictures()
        yield Static(id="at-cursor", markup=False)

    def on_mount(self) -> None:
        """Nothing is drawn yet."""
        self._drawn: tuple[object, ...] = ()
        self._summary = ""
        self._in_sight: ShapeView | None = None

    @property
    def shown(self) -> ShapeView:
        """The view of the shape that the result has."""
        step = self.result.step if self.result else None
        return self._views[VIEWS[step.shape if step else "table"]]

    def pictures(self) -> Iterator[Widget]:
        """The views, side by side."""
        yield from self._views.values()

    @abstractmethod
    def nothing(self) -> None:
        """Say that there is no result yet, and how one comes about."""

    def head(self, result: Result) -> tuple[str, str]:
        """What is shown, and the fact at the right of it."""
        rows = counted(result.done, "row")
        title = titled(result.step, self.workspace)
        return title, rows if result.state == "done" else result.state

    def drawn(self, result: Result) -> tuple[object, ...]:
        """What a picture is drawn of: the result first; while it is the same, nothing changes."""
        return result.id, result.done, result.state

    def update(self) -> None:
        """Show the result as far as it is."""
        result = self.result
        if result is None:
            self.nothing()
            return
        self.set_empty(None)
        self.set_title(*self.head(result))
        self._in_sight = shown = self.shown
        state = self.drawn(result)
        if state != self._drawn:
            new = self._drawn[:1] != state[:1]
            for each in self._views.values():
                each.display = each is shown
            shown.show(result)
            self._summary = "" if result.active else result.step.summary(result.rows)
            self._drawn = state  # rows that cannot be drawn are refused each time
            if new:
                shown.cursor.focus()
        self.read_cursor()

    @on(ShapeView.Moved)
    def read_cursor(self) -> None:
        """Say what is under the cursor, and what all rows come to."""
        text = self.reading()
        text.append(f"\n {one_line(self._summary)}" if self._summary else "", style="dim")
        self.query_one("#at-cursor", Static).update(text)

    def reading(self) -> Text:
        """What is under the cursor in words."""
        return self.shown.reading()

    def have(self, of: type[Step], /, **asked: Any) -> None:
        """Show a finished result of a step, or ask for one; what does not fit is said.

        Args:
            of: what kind of step.
            asked: its parameters.
        """
        try:
            wanted = of.of(**asked)
        except InputError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        there = [each for each in self.workspace.results if each.step == wanted and each.done]
        if there:
            self.workspace.show(there[-1], self.NAME, *self.KINDS)
            self.refresh_all()
        else:
            self.request(StepRequested(wanted))

    def view(self) -> View:
        """How the picture in sight is looked at: still that of a result that is left for another
        of another shape."""
        return (self._in_sight or self.shown).view()

    def show_view(self, view: View) -> None:
        """Look at it that way, as far as it fits."""
        self.shown.show_view(view)

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row under the cursor, or all rows."""
        return self.shown.copied(everything) if self.result is not None else None

    def rows_in_sight(self, filtered: bool) -> pl.DataFrame | None:
        """The rows of the picture."""
        return self.shown.in_order(filtered) if self.result is not None else None

    def refusal(self, action: str) -> str | None:
        """Only a table can be filtered."""
        if action == "filter" and self.is_mounted and not self.shown.query(self.TABLE or "*"):
            return NO_TABLE
        return super().refusal(action)
