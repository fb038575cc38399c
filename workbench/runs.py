"""Running steps for the screens: what is asked for, the job thread, and the results it brings."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.message import Message

from analysis.changes import Changes
from analysis.errors import WorkbenchError
from analysis.model.info import ModelInfo
from analysis.paper.table import TableStep
from analysis.step import Step
from analysis.steps import CnaCasesStep, CnaStep, EvaluateStep
from analysis.tasks.answers import doubt
from analysis.tasks.prompts import Prompt
from screens.base import REPLAY
from screens.costs import weighed
from screens.text import duration
from screens.workspace import Errand, InMemory, Result, State, Workspace
from sessions import Session, difference, examples_root
from sessions.provenance import Format
from workbench import jobs
from workbench.health import free_memory, memory_line
from workbench.jobs import ExportJob, JobThread, ReadJob, RunJob, UseSession
from workbench.settings import Settings
from workbench.shell import Shell

LONG = 5.0
"""Seconds after which the end of a step is told where it is out of sight."""


STOPPING = "Stopping; rows that are finished are kept."
NOTHING_YET = "Stopping; no row is finished yet, so there is nothing to keep."


class Runs:
    """The results of a workspace, and the thread that computes them.

    Args:
        shell: the program.
        workspace: where results are put.
        settings: the model to work on, and how; None: nothing can run.
        session: where steps are recorded: a session held for writing, the name of one to begin, or
            None for a generated name.
    """

    def __init__(
        self,
        shell: Shell,
        workspace: Workspace,
        settings: Settings | None,
        session: str | Session | None = None,
    ) -> None:
        self._shell = shell
        self._workspace = workspace
        self._settings = settings
        self._session_name = session if isinstance(session, str) else None
        self._held = session if isinstance(session, Session) else None
        """The session that steps are recorded in, once it is open."""
        self._thread: JobThread | None = None
        self._model: ModelInfo | None = None
        """The model that is loaded; a replay shows the one of its record."""
        self._doubted: set[str] = set()
        """What has been said against cases."""
        self._answers: dict[type[Message], Callable[[Any], None]] = {
            jobs.ModelLoading: self._model_loading,
            jobs.ModelReady: self._model_ready,
            jobs.ModelFailed: self._model_failed,
            jobs.PromptRead: self._prompt_read,
            jobs.AnswersDoubted: lambda event: self._warn_once(event.words),
            jobs.StepStarted: self._step_started,
            jobs.StepKept: self._step_kept,
            jobs.FrameReady: self._frame_ready,
            jobs.StepWorks: self._step_works,
            jobs.StepEnded: self._step_ended,
            jobs.ExportBegun: self._export_begun,
            jobs.Exported: self._exported,
        }

    @property
    def settings(self) -> Settings | None:
        """The model that is worked on, and how; None: nothing can run."""
        return self._settings

    @property
    def session(self) -> Session | None:
        """Where steps are recorded; None: nothing has been yet."""
        return self._held

    @property
    def can_go_on(self) -> bool:
        """Whether a replay can be left for live work: there are settings that say which model."""
        return self._settings is not None

    def start(self) -> None:
        """Start the job thread, which loads the model."""
        assert self._settings is not None
        status = self._workspace.model_status = f"loading {self._settings.model} …"
        self._workspace.errand = Errand("model", status, time.monotonic())

        def tell(message: Message) -> None:
            if self._thread is thread:  # else another took its place
                self._shell.post_message(message)

        thread = JobThread(self._settings, tell, self._session_name, self._held)
        self._thread = thread
        thread.start()
        self.read_case()
        self._shell.bring_up_to_date()

    def close(self) -> None:
        """Stop the job thread; called when the program ends, however it ends."""
        if self._thread is not None:
            self._thread.close()

    # What the screens ask for

    def read_case(self) -> None:
        """Read the prompt at hand as the model reads it."""
        if self._thread is not None:
            self._thread.submit(ReadJob(self._workspace.prompt))

    def read_draft(self, prompt: Prompt) -> None:
        """Read a case that is being typed; of several only the last is."""
        if self._thread is not None:
            self._thread.submit(ReadJob(prompt, draft=True))

    def ask(self, step: Step, stay: bool = False) -> None:
        """Queue a step and show its screen; one already done is shown again."""
        step = self._on_variant(step)
        known = [each for each in self._workspace.results if each.step == step]
        finished = [each for each in known if each.state == "done" or each.active]
        begun = [each for each in known if each.unfinished]
        if finished:
            self._shell.present(finished[-1], stay)
        elif begun and self._thread is not None:
            self._submit(begun[-1], stay)
        elif self._thread is not None and self._settings is not None:
            weighed(
                step,
                self._workspace,
                self._settings.seed,
                self._shell.push_screen,
                lambda chosen: self._submit(Result.queued(chosen), stay),
            )

    def _on_variant(self, step: Step) -> Step:
        """The step on the staged variant, where that is in use. Tables and edits say their own."""
        staged = self._workspace.staged
        edits = staged.changes.interventions
        compares = isinstance(step, CnaStep | CnaCasesStep) and not {*edits}.isdisjoint(
            step.contrast
        )
        if not staged.in_use or compares or isinstance(step, TableStep | EvaluateStep):
            return step
        return step.model_copy(update={"changes": edits})

    def resume(self, id: str) -> None:
        """Finish a step that was begun; of a part, what it is a part of."""
        result = self._workspace.find(id)
        if result is None or not self._ready():
            return
        if (whole := result.step.part_of()) is not None:  # which goes on with it
            known = [each for each in self._workspace.results if each.step == whole]
            result = known[-1] if known else Result.queued(whole)
        self._submit(result)

    def rerun(self, id: str) -> None:
        """Compute a finished step again as a step of its own."""
        result = self._workspace.find(id)
        if result is None or not self._ready():
            return
        if result.step.asks() is not None:
            self._shell.notify("A table is made of other steps; run those again.")
        else:
            self._submit(Result.queued(result.step), again=True)

    def _ready(self) -> bool:
        """Whether steps can run; if not, say so."""
        live = self._thread is not None and not self._workspace.replaying
        if not live:
            self._shell.notify(REPLAY, severity="warning")
        return live

    def _submit(self, result: Result, stay: bool = False, again: bool = False) -> None:
        """Give a result's step to the job thread, and show it."""
        assert self._thread is not None
        self._workspace.put(replace(result, state="queued", error=None, since=None))
        begun = None if result.recorded is None else result.recorded.id
        self._thread.submit(RunJob(result.id, result.step, begun, again))
        self._shell.present(result, stay)

    def stop(self, id: str) -> None:
        """Stop the step that is running, or drop the one that waits. Tables go together."""
        result = self._workspace.find(id)
        if result is None:
            return
        together = [result]
        if isinstance(result.step, TableStep):
            together = [each for each in self._tables() if each.active]
        stopping = [self._thread is not None and self._thread.stop(each.id) for each in together]
        if any(stopping):
            kept = any(each.done for each in together) or isinstance(result.step, TableStep)
            self._shell.notify(STOPPING if kept else NOTHING_YET)
        for each in together:
            if each.state == "queued":
                self._stopped(each)
        self._shell.bring_up_to_date()

    def _stopped(self, result: Result) -> None:
        """Keep a stopped result that has rows; what has none is no result."""
        if result.done or isinstance(result.step, TableStep) or self._has_begun(result.step):
            self._workspace.put(replace(result, state="stopped", remaining=None, doing=""))
        else:
            self._workspace.results.remove(result)

    def _has_begun(self, step: Step) -> bool:
        """Whether there are rows of a step that this one asks for first."""
        asking = step.asks()
        first = None if asking is None else next(asking, None)
        return any(each.step == first and each.done for each in self._workspace.results)

    def _forget_removed_session(self) -> None:
        """A session whose only step came to nothing is not there any more."""
        if self._held is not None and not self._held.folder.exists():
            self._held = self._workspace.session = None

    def _tables(self) -> list[Result]:
        return [each for each in self._workspace.results if isinstance(each.step, TableStep)]

    def export(self, folder: Path, changes: Changes, format: Format) -> None:
        """Write a changed model on the job thread."""
        workspace = self._workspace
        if self._thread is None or workspace.model is None or workspace.replaying:
            self._shell.notify("Only a live model can be exported.", severity="warning")
            return
        self._shell.notify(f"Writing {folder} …")
        self._thread.submit(ExportJob(folder, changes, format))

    def go_on(self) -> bool:
        """Leave a replay and work live, in the same session where that can be.

        Returns:
            Whether that was possible; if not, it has been said why.
        """
        workspace = self._workspace
        session = workspace.session
        if not workspace.replaying or self._settings is None or session is None:
            return False
        if session.folder.parent == examples_root() or self._differs(session):
            workspace.detach()
            self._session_name = None
        else:
            try:
                self._hold(session)
            except WorkbenchError as error:
                self._shell.notify(str(error), severity="error", timeout=10)
                return False
        workspace.replaying = False
        workspace.session = self._held
        workspace.model = self._model
        if self._thread is None:
            self.start()
        self.read_case()
        where = f"session {self._held.name}" if self._held else "a session of your own"
        self._shell.notify(f"Live again; new steps go to {where}.")
        return True

    def _hold(self, session: Session) -> None:
        """Have the steps to come recorded in a session, and see it as it is now.

        Raises:
            WorkbenchError: another process is writing it.
        """
        held = self._held
        if held is None or not held.writable or held.folder != session.folder:
            self._held = Session.open(session.folder, writable=True)
            if self._thread is not None:
                self._thread.submit(UseSession(self._held))
        model = session.info.model
        self._workspace.catch_up([Result.read(step, model) for step in session.steps])

    def take(self, session: Session) -> None:
        """Work live in another session, on the model that it was recorded with.

        Raises:
            WorkbenchError: another process is writing it, it is damaged, or its model is another
                than the one that is loaded by that name.
        """
        assert self._settings is not None
        held = Session.open(session.folder, writable=True)
        if self._model is not None and self._settings.means(held.info.model):
            try:
                held.check_model(self._model)
            except WorkbenchError:
                held.close()
                raise
        self._workspace.take_up(held)
        if self._settings.means(held.info.model) and self._thread is not None:
            self._thread.submit(UseSession(held))
            self._held = held
            return
        self._settings = self._settings.of_record(held.info.model)
        if self._thread is not None:
            self._thread.close(timeout=0.0)  # it lets go of its model in its own time
        self._model = self._workspace.model = None
        self._held = held
        self.start()

    def _differs(self, session: Session) -> bool:
        """Whether the model that is loaded is not the one of a session."""
        return self._model is not None and difference(session.info.model, self._model) is not None

    # What the job thread tells

    def heard(self, message: Message) -> None:
        """Take what the job thread tells."""
        self._answers[type(message)](message)

    def _model_loading(self, event: jobs.ModelLoading) -> None:
        self._workspace.model_status = event.status
        if (errand := self._workspace.errand) is not None:
            self._workspace.errand = replace(errand, doing=event.status)
        self._shell.bring_up_to_date()

    def _model_ready(self, event: jobs.ModelReady) -> None:
        self._model, self._workspace.errand = event.info, None
        if not self._workspace.replaying:
            self._workspace.model = event.info
            with self._shell.said():
                if self._held is not None:
                    self._held.check_model(event.info)
        for line in event.info.warnings:
            self._shell.notify(line, severity="warning", timeout=20)
        self._shell.bring_up_to_date()

    def _model_failed(self, event: jobs.ModelFailed) -> None:
        """Nothing can run; recorded sessions still open."""
        self._workspace.model_status = event.reason
        self._workspace.model_failed = True
        self._workspace.errand = None
        hint = f"{event.reason}\nRecorded sessions still open: press <app.sessions>."
        self._shell.notify(hint, title="No model", severity="error", timeout=30)
        self._shell.bring_up_to_date()

    def _prompt_read(self, event: jobs.PromptRead) -> None:
        if event.draft:
            self._workspace.drafted = event.reading
        else:
            self._workspace.reading = event.reading
        self._shell.bring_up_to_date()

    def _step_started(self, event: jobs.StepStarted) -> None:
        """Give a result its record, its baseline and its estimates."""
        workspace, started = self._workspace, event.started
        # Nobody asked for a step that a table needs.
        queued = Result.queued(started.recorded.step)
        result = workspace.find(event.id) or replace(queued, id=event.id)
        if workspace.model is not None and started.memory > free_memory(workspace.model.device):
            line = memory_line(started.memory, workspace.model.device)
            self._shell.notify(line, severity="warning")
        correct = started.baseline.get("prompt_correct", ())
        self._warn_once(doubt(correct, getattr(result.step, "prompts", None)))
        self._held = workspace.session = event.session
        workspace.put(
            replace(
                result,
                step=started.recorded.step,
                state="running",
                recorded=started.recorded,
                expected=started.expected,
                baseline=started.baseline,
                held=InMemory(event.rows, started.estimates),
                memory=started.memory,
                since=result.since or time.monotonic(),
                model=event.session.info.model,
            )
        )
        self._shell.bring_up_to_date()

    def _step_kept(self, event: jobs.StepKept) -> None:
        """Show what the session has."""
        known = self._workspace.find(event.id)
        self._held = self._workspace.session = event.session
        if known is None or known.state != "done":
            now = Result.read(event.recorded, event.session.info.model)
            self._workspace.put(now if known is None else replace(now, id=known.id))
            self._shell.bring_up_to_date()

    def _warn_once(self, words: str | None) -> None:
        """Warn of cases once, whatever steps look at them; what is measured stays as given."""
        if words and words not in self._doubted:
            self._doubted.add(words)
            self._shell.notify(words, severity="warning", timeout=15)

    def _frame_ready(self, event: jobs.FrameReady) -> None:
        """Add rows to a result."""
        result = self._workspace.find(event.id)
        if result is not None:
            last = event.last
            self._workspace.put(
                result.with_rows(
                    event.frame, seconds=last.elapsed, remaining=last.remaining_seconds
                )
            )
            self._shell.bring_up_to_date()

    def _step_works(self, event: jobs.StepWorks) -> None:
        """Say how far the rows under way are."""
        result = self._workspace.find(event.id)
        if result is None or not result.active:
            return
        self._workspace.put(
            replace(
                result,
                under_way=event.rows,
                doing=event.words,
                remaining=event.remaining or result.remaining,
                since=result.since or time.monotonic(),
            )
        )
        if self._shell.front is not None:
            self._shell.front.refresh_status()

    def _step_ended(self, event: jobs.StepEnded) -> None:
        """A step is done, stopped, or failed."""
        result = self._workspace.find(event.id)
        if result is None or (event.state != "done" and not result.active):
            return  # it was given up while it waited, and that is shown already
        if event.reason is not None and event.needed_by is None:
            self._shell.notify(event.reason, title="Failed", severity="error", timeout=15)
        now = replace(result, state=event.state, error=event.reason, remaining=None, doing="")
        table = isinstance(now.step, TableStep)
        if event.state == "stopped":
            self._stopped(result)
            self._forget_removed_session()
        elif event.state == "failed" and now.recorded is None and not table:
            self._workspace.results.remove(result)
        else:
            self._workspace.put(now)
        if table and event.state != "done":
            self._give_up_tables(event.reason)
        self._say_done(now, event.seconds)
        self._shell.bring_up_to_date()

    def _give_up_tables(self, reason: str | None) -> None:
        """Tables that wait end as the one before them did."""
        state: State = "failed" if reason else "stopped"
        for each in self._tables():
            if each.state == "queued" and self._thread is not None:
                self._thread.stop(each.id)
                self._workspace.put(replace(each, state=state, error=reason))

    def _say_done(self, result: Result, seconds: float) -> None:
        """Tell of a step that took a while, where it ends out of sight."""
        if result.state != "done" or seconds < LONG:
            return
        front = self._shell.front
        shown = front.result if front is not None else None
        if shown is None or shown.id != result.id:
            words = f"{result.step.title}: done in {duration(seconds)}; <replay.steps> goes there"
            self._shell.notify(words, timeout=10)

    def _export_begun(self, event: jobs.ExportBegun) -> None:
        self._workspace.errand = Errand("export", f"writing {event.folder}", time.monotonic())
        self._shell.bring_up_to_date()

    def _exported(self, event: jobs.Exported) -> None:
        """Say where the changed model is, or why it is not there."""
        self._workspace.errand = None
        if event.reason is not None:
            self._shell.notify(event.reason, title="Failed", severity="error", timeout=15)
        else:
            self._workspace.staged.saved(event.changes)
            self._shell.notify(f"Exported to {event.folder}", timeout=10)
        self._shell.bring_up_to_date()
