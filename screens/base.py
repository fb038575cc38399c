"""What all screens share: the lines around them, their tables, and what their keys ask for."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import polars as pl
from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import ActiveBinding, BindingType
from textual.containers import Vertical
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.step import Step
from screens.cases import NO_CASE, case_question, on_case
from screens.chrome import FLAT, GuideLines, OfferLine, Tabs, status_items, title_line
from screens.forms import step_form
from screens.keys import shipped, unlisted
from screens.messages import (
    ChangesStaged,
    CopyRequested,
    PromptsChosen,
    ResultLeft,
    ResultSeen,
    ResumeRequested,
    RowsRequested,
    ScreenRequested,
    StepRequested,
    StopRequested,
)
from screens.notice_list import NoticeList
from screens.origin import origin
from screens.text import cell_fit, count, lines, one_line, tab_separated
from screens.timeline import ReplayBar
from screens.widgets.frame_table import FrameTable
from screens.widgets.inputs import FilterInput
from screens.widgets.lines import KEPT, KeyLine, ProgressLine, StatusLine, fitting
from screens.workspace import UNFINISHED, Result, Workspace, fits
from sessions import View

NAMES = ("name", "token", "prompt")
"""Columns that say what a row is called; where there is none of them, the first one does."""
MARGINS = 2
"""Blank columns left and right of a line."""
BY_SHAPE = "result"
"""The screen that shows any result by the shape of its rows."""
NOTHING_TO_COPY = "There is nothing to copy here yet."
NOTHING_TO_EXPORT = "There is nothing to export here yet."


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
    "This cannot be shown: what is recorded does not fit together, or the program made a mistake. "
    "The log says which error it was.\n\n"
    "<replay.steps> lists the other steps."
)
LEAST = (60, 15)
"""Columns and lines in which a screen does its main job."""
TOO_SMALL = (
    "This terminal is too small: {} × {}.\n\nThe screen {} needs {} × {}; 80 × 24 is comfortable."
)


class WorkbenchScreen(Screen[None]):
    """A screen of the workbench over the shared workspace.

    Subclasses give `NAME`, the `KINDS` of steps they show, the widgets between title and keys,
    and `update`, which brings those up to date with the workspace.
    """

    CSS_PATH = "workbench.tcss"
    VERTICAL_BREAKPOINTS = [(0, "-short"), (22, "-high")]  # noqa: RUF012 (as in the base)
    LEAST: ClassVar[tuple[int, int]] = LEAST
    NAME: ClassVar[str]
    KINDS: ClassVar[tuple[str, ...]] = ()
    BESIDE: ClassVar[tuple[str, ...]] = ()
    """Kinds of steps whose results it shows beside these."""
    TABLE: ClassVar[str | None] = None
    """Selector of the table that `/` filters, where there is one."""
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("s", "sort", "Sort by the next column", id="rows.sort-by-the-next-column"),
            unlisted("S", "reverse", "Reverse the order", id="rows.reverse-the-order"),
            unlisted("ctrl+y", "copy_name", "Copy the name", id="rows.copy-the-name"),
            unlisted("y", "copy(False)", "Copy the row", id="rows.copy-the-row"),
            unlisted("Y", "copy(True)", "Copy all rows", id="rows.copy-all-rows"),
            unlisted("C", "another_case", "Another case, or all", id="result.another-case"),
            unlisted("E", "export_rows", "Export the rows", id="rows.export"),
            unlisted("V", "by_shape", "The result by its shape", id="rows.by-its-shape"),
        ],
    )
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
        self._looked_at: str | None = None
        """Id of the result whose rows are in sight."""

    def compose(self) -> ComposeResult:
        """Tabs, title, the thing itself, progress, replay bar, keys, status."""
        yield Tabs(self.NAME, self.workspace.keys)
        yield Static(id="title", markup=False)
        yield Static(id="origin", markup=False)
        yield Static(id="empty", markup=False)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield GuideLines()
        yield OfferLine()
        yield Static(id="filtered", markup=False)
        yield FilterInput()
        yield ProgressLine()
        yield ReplayBar()
        yield KeyLine()
        yield StatusLine()
        yield Static(id="too-small", markup=False)

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

    def on_resize(self) -> None:
        """Leave out what there is no room for; where the screen itself has none, say so."""
        (width, height), (columns, rows) = self.size, self.LEAST
        words = TOO_SMALL.format(width, height, self.NAME.capitalize(), columns, rows)
        self.query_one("#too-small", Static).update(words)
        self.set_class(width < columns or height < rows, "-too-small")
        self.set_class(height < FLAT, "-flat")
        self.call_after_refresh(self.refresh_all)

    def on_screen_resume(self) -> None:
        """Catch up with what happened while another screen was in front."""
        self.query_one(Tabs).on_resize()  # other keys may be in force
        self.refresh_all()

    def on_screen_suspend(self) -> None:
        """Have it remembered how the result was looked at."""
        self.leave_result()

    def refresh_all(self) -> None:
        """Bring everything up to date: called by the app after each change."""
        if not self.is_mounted:
            return
        result = self.result
        id = None if result is None else result.id
        turned = id != self._looked_at
        if turned:
            self.leave_result()
        if not self._updated():
            self.refresh_status()
            return
        if turned:
            self._looked_at = id
            # Live, a new result is looked at as the one before it was.
            if result is not None and (result.view or self.workspace.replaying):
                self.show_view(result.view)
        if result is not None and self.is_current and result.id != self.workspace.seen:
            self.post_message(ResultSeen(result.id))
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
            self.show_origin()
        except Exception as error:
            shown = {*self.KINDS, *self.BESIDE, *([self.result.step.kind] if self.result else [])}
            if all(fits(each) for each in self.workspace.results if each.step.kind in shown):
                raise
            log.error("screen %s cannot show what is recorded", self.NAME, exc_info=error)
            self.set_empty(UNFIT)
            return False
        return True

    def origin(self) -> list[str]:
        """Where what is shown comes from and why it is here, what matters most first."""
        return [] if self.result is None else origin(self.result, self.workspace)

    def show_origin(self) -> None:
        """Say it under the title, as much of it as there is room for."""
        line, told = self.query_one("#origin", Static), self.origin()
        line.display = bool(told) and bool(self.query_one("#body").display)
        importance = [KEPT, *(0.0 for _ in told[1:])]
        lengths = [cell_len(each) + len(" · ") for each in told]
        shown = fitting(importance, lengths, self.size.width - MARGINS + len(" · "))
        line.update(" " + " · ".join(told[place] for place in shown))

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
        hint = fill(self._nearest)
        progress = self.query_one(ProgressLine)
        if running is None and result is not None and result.unfinished and self.goes_on:
            words, done = f"{result.step.kind} {result.state}", result.done
            live = self.workspace.replaying
            hint = fill("<replay.live> goes on live" if live else f"<{self.goes_on}> goes on")
            progress.show(words, done, result.expected, hint=hint)
        elif running is None and (errand := self.workspace.errand) is not None:
            progress.show(errand.what, 0, None, doing=errand.doing, since=errand.since)
        elif running is None:
            progress.idle()
        elif running.state == "queued":
            doing, since = running.doing or "waits", running.since
            if (errand := self.workspace.errand) is not None:
                doing, since = f"waits for the {errand.what}: {errand.doing}", errand.since
            progress.show(running.step.kind, 0, None, hint=hint, doing=doing, since=since)
        else:
            progress.show(
                running.step.kind,
                running.done,
                running.expected,
                running.remaining,
                hint,
                running.doing,
                running.under_way,
                running.since,
            )
        self.query_one(ReplayBar).show(self.workspace)
        self.query_one(GuideLines).show(self.workspace, self.NAME)
        self.query_one(OfferLine).show(self.workspace)
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
        """Ask for a step, unless nothing can run; in a replay it is looked for.

        While the model is being loaded the step waits for it.
        """
        workspace = self.workspace
        if workspace.replaying or workspace.errand is not None or self.ready():
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

    def ask_for(self, kind: type[Step], **usual: str) -> None:
        """Ask in a form for what a step needs besides the prompts, if anything, and have it run.

        Args:
            kind: of the step.
            usual: texts that stand in the form at first, in place of the step's own defaults.
        """
        model = self.workspace.model
        if not self.ready() or model is None:
            return
        if kind.does and self.workspace.readonly:
            self.notify(READONLY, severity="warning")
            return

        def start(steps: tuple[Step, ...] | None) -> None:
            for step in steps or ():
                self.request(StepRequested(step))

        form = step_form(kind, self.workspace, model, usual)
        if form.fields:
            self.app.push_screen(form, start)
        else:
            start(form.make({}))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A filter being typed keeps enter and the letters; in a replay nothing is run."""
        if self.workspace.replaying and action == "mark":  # there space plays
            return False
        if self.refusal(action) is not None:
            return False
        # Keys are asked for before the screen has its widgets, and after they are gone.
        return action not in self.KEYS_OF_TABLES or not self.filtering

    @property
    def filtering(self) -> bool:
        """Whether a filter is being typed."""
        return any(each.is_open for each in self.query(FilterInput))

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

    def go_on(self) -> bool:
        """Ask for the rest of a result that was begun and stopped; False if it is no such one."""
        result = self.result
        if result is None or result.state not in UNFINISHED:
            return False
        self.post_message(ResumeRequested(result.id))
        return True

    def action_run(self) -> None:
        """Go on where what is shown stopped; screens that begin something do so else."""
        self.go_on()

    def action_another_case(self) -> None:
        """Have the step in sight run on another case of the prompts, or on all."""
        workspace, result = self.workspace, self.result
        step, prompts = None if result is None else result.step, workspace.prompts
        if step is None or step.for_case(workspace.prompt) is None:
            self.notify(NO_CASE)
            return

        def chosen(text: str | None) -> None:
            if text is None or not self.ready():
                return
            case, other = on_case(step, prompts, text)
            if case is not None:
                self.post_message(PromptsChosen(prompts, case))
            if other is not None:
                self.request(StepRequested(other))

        self.app.push_screen(case_question(step, workspace), chosen)

    def action_notices(self) -> None:
        """List what was said, the latest first."""
        self.app.push_screen(NoticeList(self.workspace.notices))

    def action_by_shape(self) -> None:
        """Show the result as the picture that the shape of its rows makes."""
        if self.result is None:
            self.notify("There is no result here yet to show by its shape.")
        elif self.NAME != BY_SHAPE:
            self.post_message(ScreenRequested(BY_SHAPE, self.result.id))

    def undo_nearest(self) -> bool:
        """Drop the filter, else the marks, else stop what runs here; False if nothing is there.

        On every screen in this order. Dialogs and a filter being typed take the key themselves.
        """
        if self.filtered:
            self.table.filter("")
        elif self.has_marks:
            self.drop_marks()
        else:
            return self.stop_own()
        return True

    @property
    def _nearest(self) -> str:
        """What escape undoes here, in words; empty: it goes back."""
        if self.filtered:
            return "<app.back-stop> drops the filter"
        if self.has_marks:
            return "<app.back-stop> takes the marks away"
        return "<app.back-stop> stops" if self._stoppable is not None else ""

    @property
    def has_marks(self) -> bool:
        """Whether something is marked."""
        return any(each.marked for each in self._tables())

    def drop_marks(self) -> None:
        """Take all marks away."""
        for each in self._tables():
            each.unmark()

    def stop_own(self) -> bool:
        """Ask for this screen's result to stop; False if it is neither waiting nor running."""
        if (result := self._stoppable) is not None:
            self.post_message(StopRequested(result.id))
        return result is not None

    @property
    def _stoppable(self) -> Result | None:
        """This screen's result, if it is waiting or running."""
        result = self.result
        return result if result and result.active and not self.workspace.replaying else None

    # Tables: filter, sort, copy

    @property
    def table(self) -> FrameTable:
        """The table that `/` filters."""
        assert self.TABLE is not None
        return self.query_one(self.TABLE, FrameTable)

    def view(self) -> View:
        """How the result is looked at, as JSON: by tables, the cursor, order, filter and marks."""
        return {table.id or "": table.view() for table in self._tables()}

    def show_view(self, view: View) -> None:
        """Look at the result that way, as far as it fits; an empty view: as at first.

        It may come from anybody's file.
        """
        for table in self._tables():
            part = view.get(table.id or "")
            table.show_view(part if isinstance(part, dict) else {})

    def _tables(self) -> list[FrameTable]:
        """The tables that show rows of the result."""
        return [self.table] if self.TABLE else []

    @property
    def filtered(self) -> bool:
        """Whether a filter is in force in the table in sight."""
        if not self.TABLE or not self.table.filter_text:
            return False
        around = (each for each in self.table.ancestors_with_self if isinstance(each, Widget))
        return all(each.display for each in around)

    def action_filter(self) -> None:
        """Narrow the table down."""
        self.query_one(FilterInput).open(self.table.filter_text, self.table.filter_example)
        self.show_filter()

    @on(FrameTable.Filtered)
    def show_filter(self) -> None:
        """Say which filter is in force and what it leaves, once its line is closed."""
        line, text = self.query_one("#filtered", Static), ""
        if self.filtered and not self.query_one(FilterInput).is_open:
            name, found = self.table.filter_text, f": {self.table.found}"
            room = self.size.width - cell_len(found) - len("/ ") - MARGINS
            text = f"/ {cell_fit(name, min(cell_len(one_line(name)), room))}{found}"
        line.update(text)
        line.display = bool(text)

    @on(FilterInput.Changed)
    def _filter(self, event: FilterInput.Changed) -> None:
        problem = self.table.filter(event.text)
        self.query_one(FilterInput).set_note(problem or self.table.found, error=problem is not None)

    @on(FilterInput.Submitted)
    def _keep_filter(self, event: FilterInput.Submitted) -> None:
        problem = self.table.filter(event.text)
        if problem is None:
            self.table.focus()
        else:  # not in force, so the line stays to be put right
            self.query_one(FilterInput).open()
            self.query_one(FilterInput).set_note(problem, error=True)

    @on(FilterInput.Cleared)
    def _drop_filter(self) -> None:
        self.table.filter("")
        self.table.focus()

    def action_sort(self) -> None:
        """Sort the table that has the keys by its next column."""
        if isinstance(table := self.focused, FrameTable):
            table.action_sort_next()

    def action_reverse(self) -> None:
        """Turn its order round."""
        if isinstance(table := self.focused, FrameTable):
            table.action_sort_reverse()

    def copied(self, everything: bool) -> pl.DataFrame | None:
        """The row under the cursor, or all rows in sight, for the clipboard."""
        table = self.table if self.TABLE else None
        return None if table is None else table.copied(everything)

    def action_copy(self, everything: bool) -> None:
        """Put rows on the clipboard, tab-separated under a header."""
        rows = self.copied(everything)
        if rows is None or not rows.height:
            self.notify(NOTHING_TO_COPY)
            return
        what = "the row" if rows.height == 1 else f"{count(rows.height)} rows"
        self.post_message(CopyRequested(tab_separated(rows), what))

    def rows_in_sight(self, filtered: bool) -> pl.DataFrame | None:
        """What is shown as rows, in the order in sight: what the filter leaves, or all of it."""
        return self.table.in_order(filtered) if self.TABLE else self.copied(True)

    @property
    def results_in_sight(self) -> tuple[Result, ...]:
        """What these rows come from."""
        return () if self.result is None else (self.result,)

    @property
    def what_in_sight(self) -> str:
        """What these rows are, in words."""
        titles = [each.step.title for each in self.results_in_sight]
        return " | ".join(titles) or self.NAME.capitalize()

    def action_export_rows(self) -> None:
        """Write what is shown to a file."""
        rows, results = self.rows_in_sight(False), self.results_in_sight
        if rows is None or not rows.height:
            self.notify(NOTHING_TO_EXPORT)
            return
        filtered = self.rows_in_sight(True) if self.filtered else None
        self.post_message(RowsRequested(self.NAME, rows, filtered, self.what_in_sight, results))

    def action_copy_name(self) -> None:
        """Put what the row under the cursor is called on the clipboard."""
        rows = self.copied(False)
        if rows is None or not rows.height:
            self.notify(NOTHING_TO_COPY)
            return
        named = [each for each in NAMES if each in rows.columns] or rows.columns
        text = tab_separated(rows.head(1).select(named[0])).splitlines()[-1]
        self.post_message(CopyRequested(text, text))
