"""The terminal application: it owns the workspace, the screens and the job thread.

Going from screen to screen is the `Desk`'s, recorded sessions are the `Library`'s; here steps are
run.
"""

from __future__ import annotations

from dataclasses import replace

from analysis.errors import WorkbenchError
from analysis.model.info import ModelInfo
from analysis.step import Step, Work
from analysis.steps import CnaStep, EvaluateStep, TableStep
from analysis.tasks.answers import doubt
from screens.base import REPLAY, WorkbenchScreen
from screens.held import InMemory
from screens.messages import (
    ExportRequested,
    PromptsChosen,
    RerunRequested,
    ResumeRequested,
    StepRequested,
    StopRequested,
)
from screens.text import duration
from screens.workspace import Result, Workspace
from sessions import Follower, Session, difference, examples_root
from workbench.assignments import Assignments
from workbench.desk import screen_of
from workbench.health import free_memory, memory_line
from workbench.job_messages import (
    AnswersDoubted,
    Exported,
    FrameReady,
    ModelFailed,
    ModelLoading,
    ModelReady,
    PromptRead,
    StepEnded,
    StepStarted,
    StepWorks,
)
from workbench.jobs import ExportJob, JobThread, ReadJob, RunJob, UseSession
from workbench.library import Library
from workbench.settings import Settings
from workbench.table_runs import TableRuns
from workbench.terminal import leave_with_the_terminal

LONG = 5.0
"""Seconds after which the end of a step is told where it is out of sight."""


class WorkbenchApp(Library):
    """The workbench. Live it has a job thread; replaying a session it has none."""

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings | None,
        session: str | Session | None = None,
        follower: Follower | None = None,
    ) -> None:
        """Make the application.

        Args:
            workspace: what the screens show; it may be replaying already.
            settings: the model to work on, and how.
            session: where steps are recorded: a session held for writing, the name of one to
                begin, or None for a generated name.
            follower: of the session replayed, if another process may be writing it.
        """
        super().__init__(workspace)
        self._settings = settings
        self._session_name = session if isinstance(session, str) else None
        self._held = session if isinstance(session, Session) else None
        """The session that steps are recorded in, once it is open."""
        self._follower = follower
        self._jobs: JobThread | None = None
        self._assignments = Assignments()
        self._tables = TableRuns(workspace, self._submit, self._say_failed)
        self._doubted: set[str] = set()
        """What has been said against cases."""
        self._live_model: ModelInfo | None = None
        """The model that is loaded; a replay shows the one of its record."""

    def on_mount(self) -> None:
        """Put the screens up, paint, and only then let the job thread import anything heavy."""
        self._install(self._settings.theme if self._settings else None)
        leave_with_the_terminal(self)
        if self.workspace.replaying:
            self._player.begin(self._follower)
        else:
            self.push_screen("prompts")
            self.call_after_refresh(self._start)

    def _start(self) -> None:
        self._show_recalled()
        self._start_jobs()

    def _show_recalled(self) -> None:
        """Show what the session has already, and say what is unfinished in it."""
        workspace = self.workspace
        if workspace.session is None or not workspace.results:
            return
        count, unfinished = len(workspace.results), workspace.unfinished
        words = f"{workspace.session.name} has {count} step{'s' if count > 1 else ''}"
        if unfinished:
            last = unfinished[-1]
            words += f"; {last.id} is {last.state} at {last.done} of {last.expected} rows"
            screen = self.get_screen(screen_of(last.step.kind).NAME, WorkbenchScreen)
            if screen.goes_on:
                words += f": <{screen.goes_on}> goes on with it"
            if len(unfinished) > 1:
                words += f". {len(unfinished) - 1} more unfinished: <replay.steps> lists all"
        self.notify(words, timeout=12, markup=False)
        self._present(unfinished[-1] if unfinished else workspace.results[-1])

    def _start_jobs(self) -> None:
        assert self._settings is not None
        self.workspace.model_status = f"loading {self._settings.model} …"
        self._jobs = JobThread(self._settings, self.post_message, self._session_name, self._held)
        self._jobs.start()
        self._read_case()
        self._refresh()

    def close_jobs(self) -> None:
        """Stop the job thread; called when the program ends, however it ends."""
        if self._jobs is not None:
            self._jobs.close()

    # Running steps

    def on_prompts_chosen(self, event: PromptsChosen) -> None:
        """Work on other prompts."""
        self.workspace.prompts = event.prompts
        self.workspace.case = event.case
        self._read_case()
        self._refresh()

    def _read_case(self) -> None:
        if self._jobs is not None:
            self._jobs.submit(ReadJob(self.workspace.prompt))

    def on_step_requested(self, event: StepRequested) -> None:
        """Queue a step and show its screen; one already done is shown again."""
        step = self._on_variant(event.step)
        known = [each for each in self.workspace.results if each.step == step]
        finished = [each for each in known if each.state == "done" or each.active]
        if finished:
            self._present(finished[-1], event.stay)
            return
        begun = [each for each in known if each.unfinished]
        result = begun[-1] if begun else Result.queued(step)
        if isinstance(step, TableStep):
            self.workspace.put(replace(result, state="queued", error=None))
            self._present(result, event.stay)
            self._tables.add(result)
        else:
            self._queue(result, event.stay)

    def _on_variant(self, step: Step) -> Step:
        """The step on the staged variant, where that is in use. Tables and edits say their own."""
        staged = self.workspace.staged
        edits = staged.changes.interventions
        compares = isinstance(step, CnaStep) and not {*edits}.isdisjoint(step.contrast)
        if not staged.in_use or compares or isinstance(step, TableStep | EvaluateStep):
            return step
        return step.model_copy(update={"changes": edits})

    def on_export_requested(self, event: ExportRequested) -> None:
        """Write the staged variant on the job thread."""
        if self._jobs is None or self.workspace.model is None or self.workspace.replaying:
            self.notify("Only a live model can be exported.", severity="warning")
            return
        self.notify(f"Writing {event.folder} …", markup=False)
        self._jobs.submit(ExportJob(event.folder, event.changes, event.format))

    def on_exported(self, event: Exported) -> None:
        """Say where the changed model is, or why it is not there."""
        if event.reason is not None:
            self._say_failed(event.reason)
        else:
            self.workspace.staged.saved(event.changes)
            self.notify(f"Exported to {event.folder}", timeout=10, markup=False)
        self._refresh()

    def on_resume_requested(self, event: ResumeRequested) -> None:
        """Finish a step that was begun."""
        result = self.workspace.find(event.result_id)
        if result is None:
            return
        if self.workspace.replaying or self._jobs is None:
            self.notify(REPLAY, severity="warning")
            return
        self._queue(result)

    def on_rerun_requested(self, event: RerunRequested) -> None:
        """Compute a finished step again as a step of its own."""
        result = self.workspace.find(event.result_id)
        if result is None:
            return
        if self.workspace.replaying or self._jobs is None:
            self.notify(REPLAY, severity="warning")
        elif isinstance(result.step, TableStep):
            self.notify("A table is made of other steps; run those again.")
        else:
            again = Result.queued(result.step)
            self._submit(again, again=True)
            self._present(again)

    def _queue(self, result: Result, stay: bool = False) -> None:
        if self._jobs is not None:
            self._submit(result)
            self._present(result, stay)

    def _submit(self, result: Result, work: Work | None = None, again: bool = False) -> None:
        """Give a result's step to the job thread, whatever screen is in front."""
        if self._jobs is None:
            return
        self.workspace.put(replace(result, state="queued", error=None))
        job = self._assignments.assign(result.id)
        resume = result.id if result.placed else None
        self._jobs.submit(RunJob(job, result.step, resume, work, again))
        self._refresh()

    def on_stop_requested(self, event: StopRequested) -> None:
        """Stop the step that is running, or drop the one that waits."""
        result = self.workspace.find(event.result_id)
        if result is not None and isinstance(result.step, TableStep):
            for each in self._tables.stop():
                self._stop(each)
            self._refresh()
        elif result is not None:
            self._stop(result)

    def _stop(self, result: Result) -> None:
        job = self._assignments.job_of(result.id)
        if job is None or self._jobs is None:
            return
        self._jobs.stop(job)
        if result.state == "queued":
            self.workspace.put(replace(result, state="stopped"))
            self._refresh()
        else:
            self.notify("Stopping; what is finished is kept.")

    def _result_of(self, job: str) -> Result | None:
        result_id = self._assignments.result_of(job)
        return None if result_id is None else self.workspace.find(result_id)

    def on_model_loading(self, event: ModelLoading) -> None:
        """Say how far loading is."""
        self.workspace.model_status = event.status
        self._refresh()

    def on_model_ready(self, event: ModelReady) -> None:
        """Everything can run now."""
        self._live_model = event.info
        if not self.workspace.replaying:
            self.workspace.model = event.info
            with self._said():
                if self._held is not None:
                    self._held.check_model(event.info)
        for line in event.info.warnings:
            self.notify(line, severity="warning", timeout=20, markup=False)
        self._refresh()

    def on_model_failed(self, event: ModelFailed) -> None:
        """Nothing can run; recorded sessions still open."""
        self.workspace.model_status = event.reason
        self.workspace.model_failed = True
        hint = f"{event.reason}\nRecorded sessions still open: press <app.sessions>."
        self.notify(hint, title="No model", severity="error", timeout=30, markup=False)
        self._refresh()

    def on_prompt_read(self, event: PromptRead) -> None:
        """Show a prompt as the model reads it."""
        self.workspace.reading = event.reading
        self._refresh()

    def on_step_started(self, event: StepStarted) -> None:
        """Give a result its place, its baseline and its estimates."""
        result = self._result_of(event.job)
        if result is None:
            return
        started = event.started
        self._assignments.rename(event.job, started.recorded.id)
        if self.workspace.model is not None and started.memory > free_memory(
            self.workspace.model.device
        ):
            line = memory_line(started.memory, self.workspace.model.device)
            self.notify(line, severity="warning", markup=False)
        correct = started.baseline.get("prompt_correct", ())
        self._warn_once(doubt(correct, getattr(result.step, "prompts", None)))
        self._held = self.workspace.session = event.session
        now = replace(
            result,
            id=started.recorded.id,
            state="running",
            expected=started.expected,
            baseline=started.baseline,
            held=InMemory(result.rows, started.estimates),
            memory=started.memory,
            model=event.session.info.model,
        )
        self.workspace.put(now, old_id=result.id)
        self._refresh()

    def on_answers_doubted(self, event: AnswersDoubted) -> None:
        """Say which spelling the model prefers; what is measured stays as it was given."""
        self._warn_once(event.words)

    def _warn_once(self, words: str | None) -> None:
        """Warn of cases once, whatever steps look at them."""
        if words and words not in self._doubted:
            self._doubted.add(words)
            self.notify(words, severity="warning", timeout=15, markup=False)

    def on_frame_ready(self, event: FrameReady) -> None:
        """Add rows to a result."""
        result = self._result_of(event.job)
        if result is not None:
            last = event.last
            now = result.with_rows(
                event.frame, seconds=last.elapsed, remaining=last.remaining_seconds
            )
            self.workspace.put(now)
            self._refresh()

    def on_step_works(self, event: StepWorks) -> None:
        """Say how far the rows under way are."""
        result = self._result_of(event.job)
        if result is None or not result.active:
            return
        self.workspace.put(
            replace(result, under_way=event.rows, doing=event.words, remaining=event.remaining)
        )
        if self._front is not None and self.is_running:
            self._front.refresh_status()

    def on_step_ended(self, event: StepEnded) -> None:
        """A step is done, stopped, or failed."""
        result = self._result_of(event.job)
        if result is None:
            return
        if event.reason is not None:
            self._say_failed(event.reason)
        now = replace(result, state=event.state, error=event.reason, remaining=None, doing="")
        if event.state == "failed" and not result.done and not result.placed:
            self.workspace.results.remove(result)
        else:
            self.workspace.put(now)
        self._tables.ended(now)
        self._say_done(now, event.seconds)
        self._refresh()

    def _say_done(self, result: Result, seconds: float) -> None:
        """Tell of a step that took a while, where it ends out of sight."""
        shown = self._front.result if self._front is not None else None
        in_sight = shown is not None and shown.id == result.id
        if result.state == "done" and seconds >= LONG and not in_sight:
            words = f"{result.step.title}: done in {duration(seconds)}; <replay.steps> goes there"
            self.notify(words, timeout=10, markup=False)

    def _say_failed(self, reason: str) -> None:
        self.notify(reason, title="Failed", severity="error", timeout=15, markup=False)

    # Going on live

    @property
    def can_go_on(self) -> bool:
        """Whether there are settings that say which model."""
        return self._settings is not None

    def action_go_on(self) -> None:
        """Leave the replay and go on live in the same session, where that can be."""
        workspace = self.workspace
        session = workspace.session
        if not workspace.replaying or self._settings is None or session is None:
            return
        if session.folder.parent == examples_root() or self._differs(session):
            workspace.detach()
            self._session_name = None
        else:
            try:
                self._hold(session)
            except WorkbenchError as error:
                self.notify(str(error), severity="error", timeout=10, markup=False)
                return
        self._player.leave()
        workspace.replaying = False
        workspace.session = self._held
        workspace.model = self._live_model
        if self._jobs is None:
            self._start_jobs()
        self._read_case()
        where = f"session {self._held.name}" if self._held else "a session of your own"
        self.notify(f"Live again; new steps go to {where}.", markup=False)
        self._refresh()

    def _hold(self, session: Session) -> None:
        """Have the steps to come recorded in a session, and see it as it is now.

        Raises:
            WorkbenchError: another process is writing it.
        """
        held = self._held
        if held is None or not held.writable or held.folder != session.folder:
            self._held = Session.open(session.folder, writable=True)
            if self._jobs is not None:
                self._jobs.submit(UseSession(self._held))
        self.workspace.catch_up(session)

    def _differs(self, session: Session) -> bool:
        """Whether the model that is loaded is not the one of a session."""
        if self._live_model is None:
            return False
        return difference(session.info.model, self._live_model) is not None
