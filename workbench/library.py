"""The desk with its recorded sessions: replayed, followed, noted on, renamed, deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from analysis.errors import WorkbenchError
from analysis.tasks.prompts import escaped, unescaped
from screens.base import WorkbenchScreen
from screens.dialogs import Ask
from screens.keys import shipped, unlisted
from screens.messages import (
    NoteRequested,
    ResultLeft,
    SessionChosen,
    SessionRemoved,
    SessionRenamed,
    StepChosen,
)
from screens.timeline import TimelineDialog
from screens.workspace import Workspace
from sessions import Session, other_writer, remove_session, rename_session
from workbench.desk import Desk, screen_of
from workbench.player import Player
from workbench.views import Views

STEP = Binding.Group("Step", compact=True)


class Library(Desk):
    """The screens over recorded sessions. Nothing here runs a model."""

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            Binding(
                "left_square_bracket",
                "replay(-1)",
                "Step before",
                group=STEP,
                id="replay.step-before",
            ),
            Binding(
                "right_square_bracket", "replay(1)", "Next step", group=STEP, id="replay.next-step"
            ),
            unlisted("left_curly_bracket", "edge('first')", "First step", id="replay.first-step"),
            unlisted("right_curly_bracket", "edge('last')", "Last step", id="replay.last-step"),
            Binding("space", "play", "Play", id="replay.play"),
            Binding("T", "timeline", "Steps", id="replay.steps"),
            unlisted("N", "note", "Note on the step", id="replay.note-on-the-step"),
            Binding("c", "go_on", "Live", id="replay.live"),
        ],
    )
    IN_REPLAY: ClassVar[frozenset[str]] = frozenset({"replay", "edge", "play", "go_on"})
    """Actions there are only in a replay."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._player = Player(self, workspace, self._show_replayed, self._refresh)
        self._views = Views(workspace)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys of a replay in a replay only, and of going on where there is a model."""
        if action == "go_on" and self.workspace.replaying:
            return self.can_go_on
        return self.workspace.replaying or action not in self.IN_REPLAY

    @property
    def can_go_on(self) -> bool:
        """Whether a replay can be left for live work."""
        return False

    # Replaying

    def on_session_chosen(self, event: SessionChosen) -> None:
        """Replay a session on the same screens."""
        if self.workspace.running is not None:
            self.notify("A step is running; stop it first with <app.back-stop> on its screen.")
            return
        with self._said():
            session = Session.open(event.name)
            self._player.open(session, event.step)
            if not self.workspace.results:
                self.notify(f"{session.name} has no steps yet.", markup=False)

    def _show_replayed(self) -> None:
        """Show the step a replay is at on the screen it belongs to."""
        workspace = self.workspace
        name = "sessions"
        if (result := workspace.replayed) is not None:
            name = screen_of(result.step.kind).NAME
            workspace.go_to_case(result.step)
            workspace.shown.clear()
            for each in workspace.results[: workspace.replay_place + 1]:
                self._show(each)
            self.get_screen(name, WorkbenchScreen).look_afresh()
        front = self._front
        if front is None:
            self.push_screen(name)
        elif name != front.NAME:
            self.action_visit(name)
        self._refresh()

    def action_replay(self, by: int) -> None:
        """Step through a replay."""
        self._player.step(by)

    def action_edge(self, end: str) -> None:
        """Go to the first or the last step of a replay."""
        self._player.jump(0 if end == "first" else len(self.workspace.results) - 1)

    def action_play(self) -> None:
        """Step through a replay by itself, or stop doing so."""
        self._player.play()

    def action_go_on(self) -> None:
        """Leave the replay; what can run steps says how."""

    def action_timeline(self) -> None:
        """List the steps so far, to go to one of them."""
        if not self.workspace.results:
            self.notify("There are no steps yet.")
        elif self.screen is self._front:
            self.push_screen(TimelineDialog(self.workspace))

    def on_step_chosen(self, event: StepChosen) -> None:
        """Go to a step of the session at hand."""
        for place, result in enumerate(self.workspace.results):
            if result.id == event.result_id and self.workspace.replaying:
                self._player.jump(place)
            elif result.id == event.result_id:
                self._present(result)

    # Views

    def on_result_left(self, event: ResultLeft) -> None:
        """Remember how a result was looked at."""
        self._views.keep(event)

    def exit(self, *given: Any, **named: Any) -> None:
        """End the program, however it came to that."""
        if self._front is not None:
            self._views.keep(self._front.looked_at())
        super().exit(*given, **named)

    # Notes and names

    def action_note(self) -> None:
        """Write a note on the step in sight."""
        front = self._front
        result = self.workspace.replayed or (front.result if front is not None else None)
        if result is None or not result.placed:
            self.notify("Notes are written on steps, and there is none here yet.")
        else:
            self.post_message(NoteRequested(None, result.id))

    def on_note_requested(self, event: NoteRequested) -> None:
        """Ask for a note and put it where it belongs; what could not be kept is not asked for."""
        if self.workspace.readonly:
            self.notify("The workbench is read-only: nothing is noted.", severity="warning")
            return
        with self._said():
            session = self._session(event.session)
            if session is None:
                return
            writer = None if session.writable else other_writer(session.folder)
            if writer is not None:
                self.notify(f"{writer} writes it: notes wait until that ends.", severity="warning")
                return
            recorded = None if event.step is None else session.step(event.step)
            before = session.info.note if recorded is None else recorded.info.note
            of = "session " + session.name if recorded is None else recorded.id
            hint = r"\n is a line end; empty takes it away"
            self.push_screen(
                Ask(f"Note on {of}", escaped(before), hint, escapes=True),
                lambda text: self._note(session, event.step, text),
            )

    def _session(self, name: str | None) -> Session | None:
        """A session by its name, the one at hand where that is it: it may be held for writing."""
        here = self.workspace.session
        return here if name is None or (here and here.address == name) else Session.open(name)

    def _note(self, session: Session, step: str | None, text: str | None) -> None:
        if text is None:
            return
        with self._said():
            session.note(unescaped(text), step)
            result = None if step is None else self.workspace.find(step)
            if session is self.workspace.session and step is not None and result is not None:
                note = session.step(step).info.note
                self.workspace.put(replace(result, note=note))
        self._look_again()

    def on_session_renamed(self, event: SessionRenamed) -> None:
        """Give a session another name."""
        with self._said():
            rename_session(event.name, event.new)
        self._look_again()

    def on_session_removed(self, event: SessionRemoved) -> None:
        """Delete a session."""
        with self._said():
            remove_session(event.name)
        self._look_again()

    @contextmanager
    def _said(self) -> Iterator[None]:
        """What goes wrong is said in one line, and the program goes on."""
        try:
            yield
        except WorkbenchError as error:
            self.notify(str(error), severity="error", markup=False)
