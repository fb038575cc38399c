"""Screen 7, Sessions: everything recorded, and the timeline of the session under the cursor."""

from __future__ import annotations

import time
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
from screens.dialogs import Ask, Confirm
from screens.keys import unlisted
from screens.messages import NoteRequested, SessionChosen, SessionRemoved, SessionRenamed
from screens.text import age, number, one_line
from screens.timeline import Timeline, line_on_disk
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from sessions import (
    Session,
    SessionSummary,
    check_changeable,
    check_new_name,
    list_examples,
    list_sessions,
    other_writer,
)

EXAMPLE = "example:"
WRITTEN = "being written"
LIST_EVERY = 1.0
"""Seconds for which a look at the disk holds, and between two while another process writes."""
EMPTY = (
    "Nothing recorded yet: every step you run is kept here, to be replayed without a model.\n\n"
    "Press <app.prompts> to choose prompts and <prompts.sweep-heads> there to begin."
)


def _size(value: Any) -> str:
    return number(value / 1e6, 1)


class SessionsScreen(WorkbenchScreen):
    """Sessions on top, the steps of the one under the cursor below."""

    NAME = "sessions"
    TABLE = "#sessions"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "replay", "Replay", priority=True, id="sessions.replay"),
        Binding("tab", "app.focus_next", "Steps", id="sessions.steps"),
        Binding("N", "note", "Note", id="sessions.note"),
        Binding("R", "rename", "Rename", id="sessions.rename"),
        unlisted("d", "delete", "Delete", id="sessions.delete"),
        # The steps are in sight here already, and the line of keys is full.
        unlisted("T", "app.timeline", "Steps at hand", id="sessions.steps-at-hand"),
        unlisted("slash", "filter", "Filter", id="sessions.filter"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Sessions, then the steps of one, then what else there is to say of it."""
        yield FrameTable(
            [
                TableColumn("name", "session", 18, grow=True, most=32),
                TableColumn("model", "model", 14),
                TableColumn("steps", "steps", 5, "right"),
                TableColumn("state", "state", 13),
                TableColumn("age", "age", 7, "right", age),
                TableColumn("size", "MB", 6, "right", _size, min_terminal_width=78),
                TableColumn("note", "note", 12, format=lambda v: one_line(str(v)), grow=True),
            ],
            id="sessions",
            key="name",
            search=("name", "model", "note"),
            comes_by=("age", False),
        )
        yield Timeline(id="timeline")
        yield Static(id="about", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self._listed = 0.0
        self._written = False
        self.query_one("#sessions").focus()
        self.set_interval(LIST_EVERY, self._watch)

    def on_screen_resume(self) -> None:
        """Look at the disk whenever the screen comes to the front."""
        self.forget()
        super().on_screen_resume()

    def forget(self) -> None:
        """Look at the disk at the next occasion, however short ago the last look was."""
        self._listed = 0.0

    def _watch(self) -> None:
        """See how sessions grow that other processes write."""
        if self._written and self.app.screen is self:
            self.forget()
            self.update()

    def update(self) -> None:
        """Look at the disk again."""
        if time.monotonic() - self._listed < LIST_EVERY:
            return
        self._listed = time.monotonic()
        own, shipped = list_sessions(), list_examples()
        rows = [_row("", each) for each in own] + [_row(EXAMPLE, each) for each in shipped]
        self._written = any(row["state"] == WRITTEN for row in rows)
        schema = {
            "name": pl.String,
            "model": pl.String,
            "steps": pl.Int32,
            "state": pl.String,
            "age": pl.Float64,
            "size": pl.Int64,
            "note": pl.String,
        }
        self.set_title("Sessions", f"{len(own)} of yours, {len(shipped)} examples")
        self.table.set_frame(pl.DataFrame(rows, schema=schema), keep_cursor_on="name")
        self.set_empty(None if rows else EMPTY)
        self._show_steps()

    @on(FrameTable.RowHighlighted, "#sessions")
    def _show_steps(self) -> None:
        """The timeline of the session under the cursor."""
        key, timeline = self.table.current_key, self.query_one("#timeline", Timeline)
        text = Text(no_wrap=True, overflow="ellipsis")
        lines: list[dict[str, Any]] = []
        if key is not None:
            try:
                session = Session.open(key)
                lines = [line_on_disk(step) for step in session.steps]
                self._describe(session, text, bool(lines))
            except WorkbenchError as error:
                text.append(f" {one_line(str(error))}", style="red")
        timeline.show(lines)
        self.query_one("#about", Static).update(text)

    def _describe(self, session: Session, text: Text, steps: bool) -> None:
        """What the lists do not say of a session: its writer, its note, what is wrong with it."""
        writer = other_writer(session.folder)
        if writer is not None:
            follows = self.workspace.keys.fill("<sessions.replay> follows it live")
            text.append(f" {one_line(writer)} writes it; {follows}\n", style="bold")
        elif not steps:
            text.append(f" no steps yet; workbench --session {session.name} goes on with it\n")
        if session.info.note:
            text.append(f" {one_line(session.info.note)}\n", style="italic")
        for notice in session.notices:
            text.append(f" {one_line(notice)}\n", style="yellow")
        text.rstrip()

    @property
    def _in_timeline(self) -> bool:
        return self.query_one("#timeline").has_focus

    @on(FrameTable.RowSelected)
    def action_replay(self) -> None:
        """Look at the session on the screens it was made on, from the step under the cursor on."""
        key = self.table.current_key
        if key is not None:
            timeline = self.query_one("#timeline", Timeline)
            step = timeline.current_key if self._in_timeline else None
            self.post_message(SessionChosen(key, step))

    def _changeable(self, whole: bool = False) -> str | None:
        """The session under the cursor, if it may be changed; else it is said why not.

        Args:
            whole: its folder is, which nobody may be writing.
        """
        key = self.table.current_key
        if key is None:
            return None
        try:
            if self.workspace.readonly:
                raise WorkbenchError("The workbench is read-only.")
            if key.startswith(EXAMPLE):
                raise WorkbenchError("An example is read-only.")
            if whole:
                check_changeable(key)
        except WorkbenchError as error:
            self.notify(str(error), severity="warning")
            return None
        return key

    def action_note(self) -> None:
        """Write a note on the session, or on the step under the cursor of the timeline."""
        key = self._changeable()
        if key is not None:
            timeline = self.query_one("#timeline", Timeline)
            step = timeline.current_key if self._in_timeline else None
            self.post_message(NoteRequested(key, step))

    def action_rename(self) -> None:
        """Give the session another name."""
        key = self._changeable(whole=True)
        if key is None:
            return

        def check(new: str) -> None:
            if new.strip() != key:
                check_new_name(key, new.strip())

        def named(new: str | None) -> None:
            if new is not None and new.strip() != key:
                self.post_message(SessionRenamed(key, new.strip()))

        self.app.push_screen(Ask(f"New name of session {key}", key, check=check), named)

    def action_delete(self) -> None:
        """Delete the session, once confirmed."""
        key = self._changeable(whole=True)
        if key is None:
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self.post_message(SessionRemoved(key))

        self.app.push_screen(
            Confirm(f"Delete session {key}?", "Its rows are gone then."), confirmed
        )


def _row(prefix: str, each: SessionSummary) -> dict[str, Any]:
    state = each.condition
    if each.written and other_writer(each.folder) is not None:
        state = WRITTEN
    return {
        "name": prefix + each.name,
        "model": each.model,
        "steps": each.steps,
        "state": state,
        "age": each.age_seconds,
        "size": each.size_bytes,
        "note": each.note,
    }
