"""The list behind `J`: what runs, waits and has ended since the program began."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.dialogs import BOX
from screens.keys import named
from screens.messages import ResumeRequested, StopRequested
from screens.text import count, duration
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_column import TableColumn
from screens.workspace import Result, Workspace

_MARKS = {"running": "◐", "queued": "○", "done": "●"}
_EVERY = 0.5
"""Seconds between two looks at the workspace."""


class JobList(ModalScreen[str | None]):
    """All steps of the workspace, running first; gives the id of the one to show, escape None."""

    DEFAULT_CSS = (
        BOX.format(name="JobList")
        + """
    JobList > Vertical { width: 100; height: 70%; max-height: 30; }
    JobList FrameTable { height: 1fr; margin-top: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = named(
        "jobs",
        [
            Binding("escape,q,J", "dismiss(None)", "Close"),
            Binding("d", "stop", "Stop, or take it off the queue"),
            Binding("r", "resume", "Go on with a stopped one"),
        ],
    )

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace
        self._drawn: list[tuple[Any, ...]] = []

    def compose(self) -> ComposeResult:
        """The jobs and what can be done with them."""
        columns = [
            TableColumn("mark", "", 2),
            TableColumn("title", "step", 24, grow=True),
            TableColumn("state", "state", 11),
            TableColumn("rows", "rows", 15, "right", min_terminal_width=100),
            TableColumn("time", "time", 14, "right"),
        ]
        with Vertical():
            yield Static("Jobs", classes="question")
            yield FrameTable(columns, key="id", search=("title",))
            yield Static("enter shows it · d stops · r goes on · esc closes", classes="hint")

    def on_mount(self) -> None:
        """Follow what happens."""
        self._look()
        self.set_interval(_EVERY, self._look)

    def _look(self) -> None:
        results = self._workspace.results
        first = [each for each in results if each.active]
        rows = [_row(each) for each in (*first, *(x for x in results[::-1] if not x.active))]
        if rows != self._drawn:
            self._drawn = rows
            names = ("id", "mark", "title", "state", "rows", "time")
            schema = dict.fromkeys(names, pl.String)
            frame = pl.DataFrame(rows, schema=schema, orient="row")
            self.query_one(FrameTable).set_frame(frame, keep_cursor_on="id")

    @property
    def _current(self) -> Result | None:
        return self._workspace.find(self.query_one(FrameTable).current_key or "")

    @on(FrameTable.RowSelected)
    def _chosen(self, event: FrameTable.RowSelected) -> None:
        self.dismiss(event.key)

    def action_stop(self) -> None:
        """Stop the step, or drop it if it waits."""
        result = self._current
        if result is not None and result.active:
            self.post_message(StopRequested(result.id))

    def action_resume(self) -> None:
        """Finish what was begun."""
        result = self._current
        if result is not None and result.state in ("stopped", "interrupted", "failed"):
            self.post_message(ResumeRequested(result.id))


def _row(result: Result) -> tuple[Any, ...]:
    done, expected = result.rows.height, result.expected
    time = duration(result.seconds)
    if result.state == "running" and result.remaining is not None:
        time = f"{duration(result.remaining)} left"
    return (
        result.id,
        _MARKS.get(result.state, "◌"),
        result.step.title,
        "waits" if result.state == "queued" else result.state,
        f"{count(done)} of {count(expected)}" if expected else "",
        time,
    )
