"""Screen 7, Sessions: what was recorded, and its steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import WorkbenchError
from screens.base import WorkbenchScreen
from screens.dialogs import Confirm
from screens.messages import SessionChosen, SessionRemoved
from screens.text import age, duration, number
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_column import TableColumn
from sessions import Session, SessionSummary, list_examples, list_sessions


def _size(value: Any) -> str:
    return number(value / 1e6, 1)


class SessionsScreen(WorkbenchScreen):
    """Sessions on top, the steps of the one under the cursor below."""

    NAME = "sessions"
    TABLE = "#sessions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "replay", "Replay", priority=True),
        Binding("d", "delete", "Delete"),
        Binding("slash", "filter", "Filter", show=False),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Sessions, then steps."""
        yield FrameTable(
            [
                TableColumn("name", "session", 18, grow=True),
                TableColumn("model", "model", 14),
                TableColumn("steps", "steps", 5, "right"),
                TableColumn("state", "state", 9),
                TableColumn("age", "age", 7, "right", age),
                TableColumn("size", "MB", 8, "right", _size, min_terminal_width=70),
            ],
            id="sessions",
            key="name",
            search=("name", "model"),
        )
        yield Static(id="steps", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self.query_one("#sessions").focus()

    def update(self) -> None:
        """Look at the disk again."""
        own, shipped = list_sessions(), list_examples()
        rows = [_row("", each) for each in own] + [_row("example:", each) for each in shipped]
        schema = {
            "name": pl.String,
            "model": pl.String,
            "steps": pl.Int32,
            "state": pl.String,
            "age": pl.Float64,
            "size": pl.Int64,
        }
        self.set_title("Sessions", f"{len(own)} of yours, {len(shipped)} examples")
        table = self.table
        table.set_frame(pl.DataFrame(rows, schema=schema))
        nothing = "Nothing recorded yet: every step you run is kept here.\n\nPress 1 to begin."
        self.set_empty(None if rows else nothing)

    @on(FrameTable.RowHighlighted, "#sessions")
    def _show_steps(self, event: FrameTable.RowHighlighted) -> None:
        text = Text()
        try:
            session = Session.open(event.key)
            for step in session.steps:
                info = step.info
                mark = {"done": "●", "running": "◐"}.get(info.state, "○")
                text.append(f" {mark} {step.id:<12} ", style="bold")
                text.append(f"{step.step.title}  ")
                text.append(f"{info.state} · {duration(info.seconds)}\n", style="dim")
            if session.info.note:
                text.append(f" {session.info.note}\n", style="italic")
            for notice in session.notices:
                text.append(f" {notice}\n", style="yellow")
        except WorkbenchError as error:
            text.append(f" {error}", style="red")
        text.no_wrap, text.overflow = True, "ellipsis"
        self.query_one("#steps", Static).update(text)

    @on(FrameTable.RowSelected, "#sessions")
    def _open(self, event: FrameTable.RowSelected) -> None:
        self.post_message(SessionChosen(event.key))

    def action_replay(self) -> None:
        """Look at the session on the screens it was made on."""
        key = self.table.current_key
        if key is not None:
            self.post_message(SessionChosen(key))

    def action_delete(self) -> None:
        """Delete the session, once confirmed."""
        key = self.table.current_key
        if key is None:
            return
        if self.workspace.readonly or key.startswith("example:"):
            self.notify("This session is read-only.", severity="warning")
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self.post_message(SessionRemoved(key))

        self.app.push_screen(
            Confirm(f"Delete session {key}?", "Its rows are gone then."), confirmed
        )


def _row(prefix: str, each: SessionSummary) -> dict[str, Any]:
    unfinished = [state for state in each.states if state != "done"]
    return {
        "name": prefix + each.name,
        "model": each.model,
        "steps": each.steps,
        "state": "damaged" if each.problem else (unfinished[0] if unfinished else "done"),
        "age": each.age_seconds,
        "size": each.size_bytes,
    }
