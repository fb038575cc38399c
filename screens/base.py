"""What all screens share: the tabs on top, the keys and the status at the bottom."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import ActiveBinding
from textual.containers import Vertical
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Static

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Intervention
from screens.guide import GuideLines
from screens.keys import shipped
from screens.messages import (
    ChangesStaged,
    ResultLeft,
    StepRequested,
    StopRequested,
)
from screens.replay_bar import ReplayBar
from screens.status import status_items
from screens.table_screen import TableScreen
from screens.tabs import Tabs
from screens.text import lines, one_line
from screens.title_line import title_line
from screens.widgets.filter_input import FilterInput
from screens.widgets.key_line import KeyLine
from screens.widgets.progress_line import ProgressLine
from screens.widgets.status_line import StatusLine
from screens.workspace import Result, Workspace, fits

log = logging.getLogger(__name__)

REPLAY = "This is a replay. Press <replay.live> to continue it live."
READONLY = "The workbench is read-only: nothing is changed."
NOTHING_STAGED = (
    "Nothing is staged. Press <heads.stage-a-change> on a head first, or "
    "<neurons.stage-a-change> on a neuron."
)
NOT_RECORDED = (
    "This session has none of it. <replay.steps> lists the steps it has, "
    "<replay.live> goes on live."
)
UNFIT = (
    "What is recorded does not fit together and cannot be shown.\n\n"
    "<replay.steps> lists the other steps."
)
TOO_SMALL = "This terminal is too small.\n\nThe workbench needs 60 × 16; 80 × 24 is comfortable."


class WorkbenchScreen(TableScreen):
    """A screen of the workbench over the shared workspace.

    Subclasses give `NAME`, the `KINDS` of steps they show, the widgets between title and keys,
    and `update`, which brings those up to date with the workspace.
    """

    CSS_PATH = "workbench.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-wide")]  # noqa: RUF012 (as in the base)
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-short"), (22, "-high")]  # noqa: RUF012
    NAME: ClassVar[str]
    KINDS: ClassVar[tuple[str, ...]] = ()
    BESIDE: ClassVar[tuple[str, ...]] = ()
    """Kinds of steps whose results it shows beside these."""
    LIVE: ClassVar[frozenset[str]] = frozenset()
    """Actions that need a model; in a replay their keys are not offered."""
    RESUMES: ClassVar[str] = "run"
    """The action that goes on with what was begun, where there is one."""
    KEYS_OF_TABLES: ClassVar[frozenset[str]] = frozenset(
        {"compare", "tokens", "replay", "sweep", "mark"}
    )
    """Actions on keys that tables bind too; the screen's own binding has priority, so that it
    shows in the key line."""

    def __init_subclass__(cls, **options: Any) -> None:
        cls.BINDINGS = shipped(cls.BINDINGS)
        super().__init_subclass__(**options)

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(name=self.NAME)
        self.workspace = workspace
        self._looked_at: int | None = None
        """Number of the result whose rows are in sight."""

    def compose(self) -> ComposeResult:
        """Tabs, title, the thing itself, progress, replay bar, keys, status."""
        yield Tabs(self.NAME, self.workspace.keys)
        yield Static(id="title", markup=False)
        yield Static(id="empty", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield GuideLines()
        yield Static(id="filtered", markup=False)
        yield FilterInput()
        yield ProgressLine()
        yield ReplayBar()
        yield KeyLine()
        yield StatusLine()
        yield Static(TOO_SMALL, id="too-small", markup=False)

    @abstractmethod
    def compose_body(self) -> Iterator[Widget]:
        """The widgets between the title and the progress line."""

    @abstractmethod
    def update(self) -> None:
        """Show the workspace as it is now."""

    @property
    def result(self) -> Result | None:
        """The result this screen shows."""
        return self.workspace.current(*self.KINDS) if self.KINDS else None

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was in front."""
        self.refresh_all()

    def on_screen_suspend(self) -> None:
        """Have it remembered how the result was looked at."""
        self.leave_result()

    def refresh_all(self) -> None:
        """Bring everything up to date: called by the app after each change."""
        if not self.is_mounted:
            return
        result = self.result
        number = None if result is None else result.number
        turned = number != self._looked_at
        if turned:
            self.leave_result()
        if not self._updated():
            self.refresh_status()
            return
        if turned:
            self._looked_at = number
            # Live, a new result is looked at as the one before it was.
            if result is not None and (result.view or self.workspace.replaying):
                self.show_view(result.view)
        self.show_filter()
        # Which keys work follows from what is shown.
        self.refresh_bindings()
        self.refresh_status()

    def _updated(self) -> bool:
        """Update, unless what somebody recorded cannot be shown; then that is said.

        The rows of a session may be anything that has the right types. Where they are sound, the
        mistake is ours and is told as such.
        """
        try:
            self.update()
        except Exception as error:
            shown = {*self.KINDS, *self.BESIDE}
            if all(fits(each) for each in self.workspace.results if each.step.kind in shown):
                raise
            log.error("screen %s cannot show what is recorded", self.NAME, exc_info=error)
            self.set_empty(UNFIT)
            return False
        return True

    def look_afresh(self) -> None:
        """Put the view of the result back at the next occasion, whatever was done to it here."""
        self._looked_at = None

    def leave_result(self) -> None:
        """Tell the app how the result in sight is looked at."""
        if (looked := self.looked_at()) is not None:
            self.post_message(looked)

    def looked_at(self) -> ResultLeft | None:
        """How the result in sight is looked at; None: there is none."""
        if self._looked_at is None or not self.is_mounted:
            return None
        return ResultLeft(self._looked_at, self.view())

    def refresh_status(self) -> None:
        """Bring the lines at the bottom up to date."""
        running, result = self.workspace.under_way, self.result
        fill = self.workspace.keys.fill
        hint = "" if self.workspace.replaying else fill("<app.back-stop> stops")
        progress = self.query_one(ProgressLine)
        if running is None and result is not None and result.unfinished and self.goes_on:
            words, done = f"{result.step.kind} {result.state}", result.done
            live = self.workspace.replaying
            hint = fill("<replay.live> goes on live" if live else f"<{self.goes_on}> goes on")
            progress.show(words, done, result.expected, hint=hint)
        elif running is None:
            progress.idle()
        elif running.state == "queued":
            progress.show(f"{running.step.kind} starts", 0, None, hint=hint)
        else:
            progress.show(
                running.step.kind,
                running.done,
                running.expected,
                running.remaining,
                hint,
                running.doing,
                running.under_way,
            )
        self.query_one(ReplayBar).show(self.workspace)
        self.query_one(GuideLines).show(self.workspace, self.NAME)
        self.query_one(StatusLine).set_items(status_items(self.workspace))

    @property
    def goes_on(self) -> str | None:
        """Name of this screen's action that goes on with what was begun; None: it has none."""
        return next((each.id for _, each in self._bindings if each.action == self.RESUMES), None)

    def set_empty(self, words: str | None) -> None:
        """In place of an empty picture say what it will show and which key starts it."""
        empty, body = self.query_one("#empty", Static), self.query_one("#body")
        empty.display, body.display = words is not None, words is None
        if words is not None:
            words = self._replayed(words) if self.workspace.replaying else words
            empty.update(lines(self.workspace.keys.fill(words)))

    def _replayed(self, words: str) -> str:
        """The same in a replay, where the key that starts it does nothing."""
        what, _, *more = words.split("\n\n") if "\n\n" in words else (words, "")
        return "\n\n".join([what, NOT_RECORDED, *more])

    def set_title(self, text: str, right: str = "") -> None:
        """Set the title line: what is shown, and on the right the fact to compare with."""
        self.set_titles(title_line(Text(one_line(text), style="bold"), right, self.size.width))

    def set_titles(self, *lines: Text) -> None:
        """Set the title of several runs, a line each."""
        title = self.query_one("#title", Static)
        title.styles.height = len(lines)
        title.update(Text("\n").join(lines))

    def request(self, message: StepRequested) -> None:
        """Ask for a step, unless nothing can run now."""
        if self.ready():
            self.post_message(message)

    def ready(self) -> bool:
        """Whether a step can run now; if not, say why and what to press."""
        workspace = self.workspace
        if workspace.replaying:
            self.notify(REPLAY, severity="warning")
        elif workspace.model is None:
            reason = workspace.model_status
            self.notify(f"The model is not ready: {reason}", severity="warning", markup=False)
        else:
            return True
        return False

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A filter being typed keeps enter and the letters; in a replay nothing is run."""
        if self.workspace.replaying and action == "mark":  # there space plays
            return False
        if self.refusal(action) is not None:
            return False
        # Keys are asked for before the screen has its widgets, and after they are gone.
        return action not in self.KEYS_OF_TABLES or not any(
            each.is_open for each in self.query(FilterInput)
        )

    def refusal(self, action: str) -> str | None:
        """Why nothing comes of an action now, so that its key is not offered; None: it can be."""
        return REPLAY if self.workspace.replaying and action in self.LIVE else None

    def on_key(self, event: Key) -> None:
        """Say why a key does nothing now."""
        if self.query_one(FilterInput).is_open:
            return
        if (reason := self._refused().get(event.key)) is not None:
            event.stop()
            self.notify(reason, severity="warning")

    def _refused(self) -> dict[str, str]:
        """Why they do nothing, by the keys in force of this screen that do nothing now."""
        found: dict[str, str] = {}
        for _, each in self._bindings:
            if (reason := self.refusal(each.action.partition("(")[0])) is not None:
                found |= dict.fromkeys(self.workspace.keys.of(each.id), reason)
        return found

    @property
    def active_bindings(self) -> dict[str, ActiveBinding]:
        """The keys that work; one that is refused here does nothing of the program's either."""
        found, refused = super().active_bindings, self._refused()
        return {
            key: each
            for key, each in found.items()
            if not (key in refused and each.node is self.app)
        }

    def stage(self, *parts: Intervention) -> None:
        """Stage parts beside what is staged; screen 6 shows all."""
        added = Changes.of(parts)
        if not added:
            self.notify("There is nothing to stage under the cursor.")
            return
        try:
            self.check_parts(*parts)
        except InputError as error:  # rows may come from another model's session
            self.notify(str(error), severity="error", markup=False)
            return
        changes = self.workspace.staged.changes.merged(parts)
        self.post_message(ChangesStaged(changes, f"{added} staged; <app.change> shows what is"))

    def check_parts(self, *parts: Intervention) -> None:
        """Refuse parts that the model does not have, where it is known already.

        Raises:
            InputError: names the part and the model's shape.
        """
        if (model := self.workspace.model) is not None:
            for each in parts:
                model.check_parts(each)

    def stop_own(self) -> bool:
        """Ask for this screen's result to stop; False if it is neither waiting nor running."""
        result = self.result
        if result is None or not result.active or self.workspace.replaying:
            return False
        self.post_message(StopRequested(result.id))
        return True
