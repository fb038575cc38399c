"""Replaying a recorded session: which step it is at, playing, and following who still writes it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.timer import Timer

from analysis.errors import WorkbenchError
from screens.keys import shipped, unlisted
from screens.messages import StepRequested
from screens.text import cell_fit
from screens.workspace import Result, Workspace
from sessions import Follower, Session, examples_root
from workbench.shell import Shell

PLAY_EVERY = 2.0
"""Seconds a replay that plays stays at a step."""
TITLE = 60
"""Cells of the title of a step that is not there."""
LOOK_EVERY = 1.0
"""Seconds between two looks at a session that another process may be writing."""


_step = partial(Binding, group=Binding.Group("Step", compact=True))


class Player:
    """Goes through the steps of a session on the workspace. It runs nothing and writes nothing.

    Args:
        shell: the program.
        workspace: where the results are and the place among them is kept.
    """

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            _step("left_square_bracket", "replay(-1)", "Step before", id="replay.step-before"),
            _step("right_square_bracket", "replay(1)", "Next step", id="replay.next-step"),
            unlisted("left_curly_bracket", "edge('first')", "First step", id="replay.first-step"),
            unlisted("right_curly_bracket", "edge('last')", "Last step", id="replay.last-step"),
            Binding("c", "go_on", "Live", id="replay.live"),
            Binding("space", "play", "Play", id="replay.play"),
            Binding("T", "timeline", "Steps", id="replay.steps"),
            unlisted("N", "note", "Note on the step", id="replay.note-on-the-step"),
        ],
    )
    IN_REPLAY: ClassVar[frozenset[str]] = frozenset({"replay", "edge", "play", "go_on"})
    """Actions there are only in a replay."""

    def __init__(self, shell: Shell, workspace: Workspace) -> None:
        self._shell = shell
        self._workspace = workspace
        self._playing: Timer | None = None
        self._looking: Timer | None = None
        self._follower: Follower | None = None
        self._writer: str | None = None
        self._left: dict[Path, str] = {}
        """By folder of a session the step at which its replay was left."""

    def choose(self, name: str, step: str | None = None) -> None:
        """Replay a session, from one of its steps on; follow it if another process writes it.

        Args:
            name: of the session.
            step: id of the step; None: the one looked at last, else the one it opens at.
        """
        workspace = self._workspace
        if workspace.running is not None:
            words = "A step is running; stop it first with <app.back-stop> on its screen."
            self._shell.notify(words)
            return
        with self._shell.said():
            session = Session.open(name)
            self._remember()
            follower = Follower(session)  # made first, so that nothing written meanwhile is missed
            workspace.replay(session)
            self.begin(follower, step or self._left.get(session.folder))
            if not workspace.results:
                self._shell.notify(f"{session.name} has no steps yet.")

    def begin(self, follower: Follower | None, step: str | None = None) -> None:
        """Go on with what the workspace replays already.

        Args:
            follower: made before the rows were read; None: nobody can be writing the session.
            step: id of the step to begin with; None: where the session opens, or the newest if it
                is written.
        """
        self.leave()
        workspace = self._workspace
        self._follower = follower
        if follower is not None:
            self._writer = follower.writer
            self._looking = self._shell.set_interval(LOOK_EVERY, self._look)
        if self._writer is not None:
            workspace.following = f"following · {self._writer}"
            workspace.replay_place = self._last
        for place, result in enumerate(workspace.results):
            if step is not None and result.name == step:
                workspace.replay_place = place
        self._shell.show_replayed()
        if workspace.passed_over:
            self._shell.notify(workspace.passed_over, severity="warning")
            workspace.passed_over = ""

    def _remember(self) -> None:
        """Note where a replay is left: it writes nothing, so that only this run knows."""
        workspace = self._workspace
        if workspace.replayed is not None and workspace.session is not None:
            self._left[workspace.session.folder] = workspace.replayed.name

    def leave(self) -> None:
        """Stop playing and following."""
        self._stop_playing()
        if self._looking is not None:
            self._looking.stop()
        self._looking = self._follower = self._writer = None
        self._workspace.following = ""

    @property
    def _last(self) -> int:
        return max(len(self._workspace.results) - 1, 0)

    def go_to(self, result_id: str) -> None:
        """Go to a result of the session at hand, in a replay or live."""
        result = self._workspace.find(result_id)
        if result is not None and self._workspace.replaying:
            self.jump(self._workspace.results.index(result))
        elif result is not None:
            self._shell.present(result)

    def lead_to(self, asked: StepRequested) -> None:
        """Go to the recorded step that a key would ask for live; else say what it needs."""
        step, session = asked.step, self._workspace.session
        found = self._workspace.recorded_as(step, asked.alike)
        if found is not None:
            if (front := self._shell.front) is not None and front.result is not None:
                self._workspace.came_from[found.id] = front.result.id
            self.jump(self._workspace.results.index(found))
            return
        own = session is not None and session.folder.parent != examples_root()
        how = f", as workbench --session {session.name} does" if own and session else ""
        self._shell.notify(
            f"Not recorded here: {cell_fit(step.title, TITLE).rstrip()}. It needs the model: "
            f"<replay.live> goes on live{how}.",
            severity="warning",
        )

    def step(self, by: int) -> None:
        """Go so many steps on, or back."""
        self.jump(self._workspace.replay_place + by)

    def edge(self, end: str) -> None:
        """Go to the first or the last step."""
        self.jump(0 if end == "first" else self._last)

    def jump(self, place: int) -> None:
        """Go to a step by its place; beyond the ends, to the first or last."""
        if self._workspace.replaying and self._workspace.results:
            self._workspace.replay_place = min(max(place, 0), self._last)
            self._shell.show_replayed()

    def play(self) -> None:
        """Go on by itself, from the first step again if it is at the last; or stop doing so."""
        if self._playing is not None:
            self._stop_playing()
            self._shell.bring_up_to_date()
        elif self._workspace.replaying and self._last:
            self._workspace.playing = True
            self._playing = self._shell.set_interval(PLAY_EVERY, self._play_on)
            self.jump(0 if self._workspace.replay_place == self._last else self._place)

    @property
    def _place(self) -> int:
        return self._workspace.replay_place

    def _play_on(self) -> None:
        if self._place + 1 >= self._last:
            self._stop_playing()
        self.step(1)

    def _stop_playing(self) -> None:
        if self._playing is not None:
            self._playing.stop()
        self._playing = None
        self._workspace.playing = False

    async def _look(self) -> None:
        """See what the writer has done since the last look, without making the screen wait."""
        follower = self._follower
        if follower is None:
            return
        try:
            fresh = await asyncio.to_thread(self._fresh, follower)
        except WorkbenchError as error:
            if follower is self._follower:
                self.leave()
                self._workspace.following = str(error)
                self._shell.bring_up_to_date()
            return
        if follower is self._follower:  # else another session was opened meanwhile
            self._take(fresh, follower)

    def _fresh(self, follower: Follower) -> list[Result]:
        model = follower.session.info.model
        return [Result.read(step, model) for step in follower.look()]

    def _take(self, fresh: list[Result], follower: Follower) -> None:
        workspace = self._workspace
        at_newest, count = self._place >= self._last, len(workspace.results)
        workspace.catch_up(fresh)
        before, self._writer = self._writer, follower.writer
        if self._writer is not None:
            workspace.following = f"following · {self._writer}"
        elif before is not None:
            workspace.following = f"{before} {'died' if follower.died else 'ended'}"
        if len(workspace.results) > count and at_newest and not workspace.playing:
            self.jump(self._last)
        elif fresh or before != self._writer:
            self._shell.bring_up_to_date()
