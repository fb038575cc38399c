"""The steps of a session with state, time and note: as a table, as a dialog, as the replay bar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import polars as pl
from rich.style import Style
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from screens.messages import (
    NoteRequested,
    RerunRequested,
    ResumeRequested,
    StepChosen,
    StopRequested,
)
from screens.text import cell_fit, count, duration, one_line
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn
from screens.workspace import Result, Workspace
from sessions import RecordedStep

MARKS = {"done": "●", "running": "◐", "queued": "◌"}
"""How the state of a step looks in one cell; every other one is unfinished."""
UNFINISHED = "○"
_INK = {
    "●": Style(color="green"),
    "◐": Style(color="#af5f00", bold=True),
    "○": Style(color="#af5f00"),
}
NUMBER_WIDTH = 3


def mark(state: str) -> str:
    """The state of a step in one cell."""
    return MARKS.get(state, UNFINISHED)


def _title(value: Any) -> str:
    return one_line(str(value))


def _ink(value: Any) -> Style | None:
    return _INK.get(str(value))


COLUMNS = [
    TableColumn("mark", "", 1, style=_ink),
    TableColumn("place", "", NUMBER_WIDTH, "right", sort_by=("line",), descending=False),
    TableColumn("title", "step", 18, format=_title, grow=True, most=90),
    TableColumn("state", "state", 11),
    TableColumn("time", "time", 14, "right", sort_by=("seconds",)),
    TableColumn("rows", "rows", 13, "right", min_terminal_width=100),
]
NOTE = TableColumn("note", "note", 12, format=lambda value: one_line(str(value)), grow=True)
ORDER = ("place", False)
SCHEMA = {
    "id": pl.String,
    "mark": pl.String,
    "place": pl.String,
    "title": pl.String,
    "state": pl.String,
    "seconds": pl.Float64,
    "time": pl.String,
    "rows": pl.String,
    "note": pl.String,
}


class Timeline(FrameTable):
    """The steps of one session in order."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(COLUMNS, id=id, key="id", search=("title", "note"), comes_by=ORDER)

    def show(self, lines: Iterable[dict[str, Any]]) -> None:
        """Show these steps; the notes only where there are some."""
        frame = pl.DataFrame(list(lines), schema=SCHEMA).with_row_index("line")
        noted = bool((frame["note"] != "").any())
        self.set_columns([*COLUMNS, NOTE] if noted else COLUMNS, ORDER)
        self.set_frame(frame, keep_cursor_on="id")


def line_of(place: int, result: Result, here: bool = False) -> dict[str, Any]:
    """A result as a line of the timeline.

    Args:
        place: its place, from 1.
        result: the step with its rows so far.
        here: the replay is at it.
    """
    return _line(
        f"▸{place}" if here else str(place),
        result.id,
        result.step.title,
        result.state,
        result.seconds,
        result.done,
        result.expected,
        result.note or result.error or "",
        result.remaining,
    )


def line_on_disk(step: RecordedStep) -> dict[str, Any]:
    """A recorded step as a line of the timeline."""
    info = step.info
    state = step.listed_state
    # Counting reads every part, and of a finished step says nothing new.
    done = info.expected if state == "done" else step.done_rows
    return _line(
        str(step.index),
        step.id,
        step.step.title,
        state,
        info.seconds or None,  # killed before it could note any time
        done,
        info.expected,
        info.note or info.error or "",
    )


def _line(
    place: str,
    id: str,
    title: str,
    state: str,
    seconds: float | None,
    done: int,
    expected: int,
    remark: str,
    remaining: float | None = None,
) -> dict[str, Any]:
    # The remark is the note on a step, else why it failed.
    share = f" {done / expected:.0%}" if state == "running" and expected else ""
    time = "" if seconds is None else duration(seconds)
    if state == "running" and remaining is not None:
        time = f"{duration(remaining)} left"
    rows = count(done) if state == "done" else f"{count(done)} of {count(expected)}"
    return {
        "id": id,
        "mark": mark(state),
        "place": place,
        "title": title,
        "state": state + share,
        "seconds": seconds,
        "time": time,
        "rows": rows,
        "note": remark,
    }


class TimelineDialog(ModalScreen[None]):
    """All steps of the session at hand, those that run and wait too; enter goes to one."""

    DEFAULT_CSS = """
    TimelineDialog { align: center middle; background: $background 60%; }
    TimelineDialog > Vertical {
        width: 94%; max-width: 130; height: auto; max-height: 86%;
        background: $surface; padding: 1 2; border-left: outer $accent;
    }
    TimelineDialog .question { text-style: bold; }
    TimelineDialog .hint { color: $text-muted; margin-top: 1; }
    TimelineDialog Timeline { margin-top: 1; height: auto; max-height: 24; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,T,q", "dismiss", "Close"),
        Binding("N", "note", "Note"),
        Binding("d", "stop", "Stop"),
        Binding("r", "resume", "Go on"),
        Binding("R", "rerun", "Run again"),
    ]

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._workspace = workspace

    def compose(self) -> ComposeResult:
        """What it is of, the steps, the keys."""
        with Vertical():
            yield Static(classes="question", markup=False)
            yield Timeline()
            keys = "enter goes there · N note"
            if not self._workspace.replaying:
                keys += " · d stops · r goes on · R again"
            yield Static(f"{keys} · esc closes", classes="hint", markup=False)

    def on_mount(self) -> None:
        """Begin at the step in sight."""
        self.refresh_all()
        if (here := self._workspace.replayed) is not None:
            self.query_one(Timeline).move_to(here.id)
        else:
            self.query_one(Timeline).action_edge("last")
        self.query_one(Timeline).focus()

    def refresh_all(self) -> None:
        """Follow the workspace."""
        workspace, timeline = self._workspace, self.query_one(Timeline)
        results = workspace.results
        here = workspace.replayed
        timeline.show(
            line_of(place, result, here=result is here)
            for place, result in enumerate(results, start=1)
        )
        timeline.styles.height = len(results) + 1
        session = workspace.session
        name = f"session {session.name}" if session is not None else "this session"
        words = Text(f"{len(results)} step{'s' if len(results) > 1 else ''} of {one_line(name)}")
        if session is not None and session.info.note:
            words.append(f"   {one_line(session.info.note)}", style="italic not bold")
        self.query_one(".question", Static).update(words)

    @on(FrameTable.RowSelected)
    def _choose(self, event: FrameTable.RowSelected) -> None:
        self.dismiss()
        self.app.post_message(StepChosen(event.key))

    @property
    def _chosen(self) -> Result | None:
        return self._workspace.find(self.query_one(Timeline).current_key or "")

    def action_stop(self) -> None:
        """Stop the step under the cursor, or drop it if it waits; what is finished is kept."""
        if (result := self._chosen) is not None and result.active:
            self.post_message(StopRequested(result.id))

    def action_resume(self) -> None:
        """Finish the step under the cursor where it was stopped."""
        if (result := self._chosen) is not None and mark(result.state) == UNFINISHED:
            self.post_message(ResumeRequested(result.id))

    def action_rerun(self) -> None:
        """Compute the finished step under the cursor again, beside what is there of it."""
        if (result := self._chosen) is not None and result.state == "done":
            self.post_message(RerunRequested(result.id))

    def action_note(self) -> None:
        """Write a note on the step under the cursor."""
        if (result := self._chosen) is not None:
            self.post_message(NoteRequested(None, result.name))


PLAYING = "▶ playing"
NOTE_WIDTH = 40
"""Cells of the note on the step, where there is room for it."""


class ReplayBar(Static):
    """`3 of 9  ● heads  ● cna  ● project …`; not there while the workbench is live."""

    DEFAULT_CSS = """
    ReplayBar { height: 1; display: none; background: $boost; }
    ReplayBar.replaying { display: block; }
    """

    def show(self, workspace: Workspace) -> None:
        """Follow the workspace."""
        self.set_class(workspace.replaying, "replaying")
        if not workspace.replaying:
            return
        place, count = workspace.replay_place, len(workspace.results)
        text = Text(no_wrap=True, overflow="ellipsis")
        if not count:
            text.append(" no steps yet", style="dim")
        else:
            text.append(f" {place + 1} of {count}  ", style="bold")
            behind = self._behind(workspace)
            chips = [f" {mark(each.state)} {each.step.kind} " for each in workspace.results]
            room = self.app.size.width - len(text) - behind.cell_len
            for number in around(place, [len(chip) for chip in chips], room):
                text.append(chips[number], style="reverse" if number == place else "dim")
            text.append(" " * (self.app.size.width - text.cell_len - behind.cell_len))
            text.append(behind)
        self.update(text)

    def _behind(self, workspace: Workspace) -> Text:
        """What stands at the right end: that it plays, or the note on the step."""
        if workspace.playing:
            return Text(f"  {PLAYING} ", style="bold")
        result = workspace.replayed
        if result is None or not result.note:
            return Text()
        note = one_line(result.note)
        shown = cell_fit(note, min(Text(note).cell_len, NOTE_WIDTH, self.app.size.width // 3))
        return Text(f"  {shown} ", style="italic")


def around(place: int, widths: list[int], room: int) -> range:
    """The numbers of the chips that fit, with the one at `place` among them."""
    first = last = place
    used = sum(widths[place : place + 1])
    while True:
        if last + 1 < len(widths) and used + widths[last + 1] <= room:
            last += 1
            used += widths[last]
        elif first > 0 and used + widths[first - 1] <= room:
            first -= 1
            used += widths[first]
        else:
            return range(first, min(last + 1, len(widths)))
