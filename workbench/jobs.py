"""The job thread: the one thread that owns the model and the session and does all long work.

Jobs wait in a queue and run one at a time; changing the session is one of them. What happens is
told to the app by messages; rows of a running step are gathered so that at most ten messages a
second arrive. Heavy libraries are imported here, after the first screen is painted.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
from textual.message import Message

from analysis.changes import Changes
from analysis.errors import Cancelled, WorkbenchError
from analysis.model.info import ModelInfo
from analysis.progress import cancellable, checkpoint, heard_by
from analysis.step import Step
from analysis.tasks.prompts import Prompt
from screens.words import of_set
from screens.workspace import Reading, State
from sessions import Finished, RecordedStep, Rows, Session, Started, ensure
from sessions.provenance import Format
from workbench.reading import read_prompt
from workbench.runner import discard_if_empty, open_model
from workbench.settings import Settings

if TYPE_CHECKING:
    from analysis.model.model import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunJob:
    """Have a step in the session: what it has is used, and what was begun goes on."""

    id: str
    """Of the result that the step is run for."""
    step: Step
    begun: str | None = None
    """The record to go on with, as `003-cna`; None: whichever the session has."""
    again: bool = False
    """Compute it although the session has it."""


@dataclass(frozen=True)
class ReadJob:
    """Tokenise a prompt and predict what follows."""

    prompt: Prompt
    draft: bool = False
    """It is being typed, and not the case at hand."""


@dataclass(frozen=True)
class ExportJob:
    """Write a changed model to a folder."""

    folder: Path
    changes: Changes
    format: Format


@dataclass(frozen=True)
class UseSession:
    """Record the steps submitted after this in another session."""

    session: Session
    """Open for writing; from now on the thread's, which closes it."""


Job: TypeAlias = RunJob | ReadJob | ExportJob | UseSession


class JobMessage(Message):
    """Something that the job thread tells the app."""


@dataclass
class ModelLoading(JobMessage):
    """The model is on its way; `status` says how far."""

    status: str


@dataclass
class ModelReady(JobMessage):
    """The model is loaded and checked."""

    info: ModelInfo


@dataclass
class ModelFailed(JobMessage):
    """There will be no model."""

    reason: str


@dataclass
class PromptRead(JobMessage):
    """A prompt was tokenised and its continuation predicted."""

    reading: Reading
    draft: bool = False
    """It is being typed, and not the case at hand."""


@dataclass
class AnswersDoubted(JobMessage):
    """The model says other spellings than the answers of a set that is measured."""

    words: str


@dataclass
class StepStarted(JobMessage):
    """A step is recorded from now on; its baseline and estimates are known."""

    id: str
    """Of the result: as it was asked for, or the address of a step that a table needs."""
    started: Started
    session: Session
    rows: pl.DataFrame
    """Those on disk from before."""


@dataclass
class StepKept(JobMessage):
    """The session has all rows of a step already; nothing is computed."""

    id: str
    recorded: RecordedStep
    session: Session


@dataclass
class FrameReady(JobMessage):
    """More rows of a step are on disk."""

    id: str
    frame: pl.DataFrame
    last: Rows


@dataclass
class StepWorks(JobMessage):
    """How far a step is between two frames, or before its first."""

    id: str
    rows: float
    words: str
    remaining: float | None = None


@dataclass
class StepEnded(JobMessage):
    """A step came to its end: `done`, `stopped` or `failed` with the reason."""

    id: str
    state: State
    seconds: float
    reason: str | None = None
    needed_by: str | None = None
    """The id of the result that the step was run for, which ends with the same reason."""


@dataclass
class ExportBegun(JobMessage):
    """A changed model is being written."""

    folder: Path


@dataclass
class Exported(JobMessage):
    """A changed model is on disk; or, with a reason, it is not."""

    folder: Path
    changes: Changes
    reason: str | None = None


TELL_EVERY = 0.1
"""Seconds between two tellings."""


class _Part:
    """Tells of one step while it is computed: the one a job asks for, or one that this one needs.

    At most ten times a second it tells of rows, and as often of the work between them. The first
    batch is told at once; what comes too soon after it is told together by a timer when its time
    has come, even if the step computes for minutes before it yields again.

    Args:
        id: of the result.
        started: rows that are there from before, and how many there will be.
        tell: takes the messages, never two of rows at once.
    """

    def __init__(self, id: str, started: Started, tell: Callable[[Message], Any]) -> None:
        self.id = id
        self._tell = tell
        self._begun = self._heard = time.monotonic()
        self._before = self._done = started.done
        self._expected = started.expected
        self._lock = threading.Lock()
        self._waiting: list[Rows] = []
        self._timer: threading.Timer | None = None
        self._told = float("-inf")
        self._under_way = 0.0

    def add(self, rows: Rows) -> None:
        """Take a batch; it is told now or within the interval."""
        with self._lock:
            self._done, self._under_way = rows.done, 0.0
            self._waiting.append(rows)
            delay = self._told + TELL_EVERY - time.monotonic()
            if delay <= 0:
                self._tell_waiting()
            elif self._timer is None:
                self._timer = threading.Timer(delay, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Tell the rows that wait."""
        with self._lock:
            if self._waiting:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._waiting = self._waiting, []
        self._told = time.monotonic()
        frame = pl.concat([each.frame for each in rows])
        self._tell(FrameReady(self.id, frame, rows[-1]))

    def heard(self, rows: float | None, words: str) -> None:
        """Tell how far the frame under way is, and how long the step still takes at this pace."""
        now = time.monotonic()
        rows = self._under_way = self._under_way if rows is None else rows
        if now - self._heard < TELL_EVERY:
            return
        self._heard = now
        made = self._done - self._before + rows
        left = (now - self._begun) / made * (self._expected - self._done - rows) if made else None
        self._tell(StepWorks(self.id, rows, words, left))


class _Run:
    """A job that was submitted and has not ended."""

    def __init__(self, job: RunJob) -> None:
        self.job = job
        self.stopped = threading.Event()
        self.begun = False
        self.part: _Part | None = None
        """The step under way for it."""
        self.prepared = float("-inf")
        """When it was told last what is done before there is such a step."""


_Job: TypeAlias = _Run | ReadJob | ExportJob | UseSession


class JobThread(threading.Thread):
    """Loads the model, then works the queue until it is closed.

    Brief jobs do not wait for a long one: they run between two of its batches, on this thread.
    Steps that were submitted after another session do wait, as that session does.
    """

    def __init__(
        self,
        settings: Settings,
        tell: Callable[[Message], Any],
        session_name: str | None = None,
        session: Session | None = None,
    ) -> None:
        """Make the thread; `start` begins its work.

        Args:
            settings: the model, and how it is loaded.
            tell: takes the messages.
            session_name: of the session to begin with the first step; None: a generated one.
            session: where steps are recorded, open for writing already; the thread closes it.
        """
        super().__init__(name="job", daemon=True)
        self._settings = settings
        self._tell = tell
        self._session_name = session_name
        self._session = session
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting: list[_Job | None] = []
        """What came while a long job was running and could not be let in."""
        self._closing = threading.Event()
        self._door = threading.Lock()
        self._ended = False
        """Whether nothing more will be taken out of the queue."""
        self._runs: list[_Run] = []
        """The steps that were asked for and have not ended."""
        self._latest_read: dict[bool, Prompt] = {}
        """The case at hand, and the one that is being typed."""

    def submit(self, job: Job) -> None:
        """Put a job in the queue. Of several prompts to read only the last is.

        Once the thread has ended, and where it ends first, a step is told as stopped.
        """
        given: _Job = _Run(job) if isinstance(job, RunJob) else job
        with self._door:
            if not self._ended:
                if isinstance(given, ReadJob):
                    self._latest_read[given.draft] = given.prompt
                elif isinstance(given, _Run):
                    self._runs.append(given)
                self._queue.put(given)
                return
        self._drop(given)

    def stop(self, id: str) -> bool:
        """Stop the step of a result, or drop it if it has not begun. It ends within a second.

        A step that a table needs takes the table with it.

        Returns:
            Whether it has begun.
        """
        runs = list(self._runs)
        chosen = [each for each in runs if id in (each.job.id, each.part and each.part.id)]
        for run in chosen:
            run.stopped.set()
        return any(run.part is not None for run in chosen)

    def close(self, timeout: float = 5.0) -> None:
        """Stop everything, let what is finished reach the disk, and wait for it."""
        self._closing.set()
        for run in list(self._runs):
            run.stopped.set()
        self._queue.put(None)
        if self.is_alive():
            self.join(timeout)

    def run(self) -> None:
        """The thread's own work."""
        try:
            self._run()
        finally:
            with self._door:
                self._ended = True
            while not self._queue.empty():
                self._waiting.append(self._queue.get())
            for job in self._waiting:
                self._drop(job)
            if self._session is not None:
                self._session.close()

    def _drop(self, job: _Job | None) -> None:
        """Let go of a job that will not be done."""
        if isinstance(job, _Run):
            self._tell(StepEnded(job.job.id, "stopped", 0.0))
        elif isinstance(job, UseSession):
            job.session.close()

    def _run(self) -> None:
        try:
            with cancellable(self._closing):
                model = open_model(self._settings, lambda text: self._tell(ModelLoading(text)))
        except Cancelled:
            return
        except Exception as error:
            self._tell(ModelFailed(_reason(error, "the model could not be loaded")))
            return
        self._tell(ModelReady(model.info))
        while not self._closing.is_set():
            job = self._waiting.pop(0) if self._waiting else self._queue.get()
            if job is not None:
                self._work(job, model)

    def _work(self, job: _Job, model: Model) -> None:
        """Do one job and tell what came of it."""
        if isinstance(job, ReadJob):
            if job.prompt == self._latest_read[job.draft]:
                self._tell(PromptRead(self._read(job.prompt, model), job.draft))
        elif isinstance(job, ExportJob):
            self._tell(ExportBegun(job.folder))
            self._tell(Exported(job.folder, job.changes, self._export(job, model)))
        elif isinstance(job, UseSession):
            self._use(job.session)
        else:
            self._step(job, model)

    def _use(self, session: Session) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self._session_name = session, session.name

    def _step(self, run: _Run, model: Model) -> None:
        """Have a step in the session and tell how it ended."""
        begun = time.monotonic()
        state: State = "done"
        reason = None
        job = run.job
        try:
            with cancellable(run.stopped):
                checkpoint()
                run.begun = True
                self._have(run, model)
        except Cancelled:
            state = "stopped"
        except Exception as error:
            state, reason = "failed", _reason(error, f"step {job.step.kind} failed")
        self._runs.remove(run)
        seconds = time.monotonic() - begun
        if run.part is not None and run.part.id != job.id:
            self._tell(StepEnded(run.part.id, state, seconds, reason, needed_by=job.id))
        # Of a step that was dropped and asked for once more, the later run speaks.
        if run.begun or all(each.job.id != job.id for each in self._runs):
            self._tell(StepEnded(job.id, state, seconds, reason))

    def _read(self, prompt: Prompt, model: Model) -> Reading:
        try:
            return read_prompt(model, prompt)
        except Exception as error:
            reason = _reason(error, "the prompt could not be read")
            return Reading(prompt, (), frozenset(), (), error=reason)

    def _export(self, job: ExportJob, model: Model) -> str | None:
        """Write a changed model; returns why it could not be done."""
        from workbench.exporting import Export, check_allowed, export

        adapter = self._settings.adapter
        try:
            check_allowed(self._settings)
            export(model, Export(job.folder, job.format, job.changes, adapter, self._session))
        except Exception as error:
            return _reason(error, "the export failed")
        return None

    def _let_others(self, step: Step, model: Model) -> None:
        """Do the brief jobs that came while a long one is running."""
        while not (step.brief or self._queue.empty() or self._closing.is_set()):
            other = self._queue.get()
            if other is None or not self._is_let_in(other):
                self._waiting.append(other)
            else:
                # In a context of its own: neither stopped nor heard as a part of the long job.
                Context().run(self._work, other, model)

    def _is_let_in(self, job: _Job) -> bool:
        """Whether a job may run now, while a long one records in the present session."""
        if isinstance(job, ReadJob):
            return True
        if isinstance(job, UseSession) or any(
            isinstance(each, UseSession) for each in self._waiting
        ):
            return False
        return isinstance(job, ExportJob) or job.job.step.brief

    def _have(self, run: _Run, model: Model) -> None:
        """Have a step in the session, with those it needs, and tell the app of each."""
        job = run.job
        session = self._open_session(job, model)
        begun = None if job.begun is None else session.step(job.begun)

        def heard(rows: float | None, words: str) -> None:
            now = time.monotonic()
            if run.part is not None:
                run.part.heard(rows, words)
            elif now - run.prepared >= TELL_EVERY:
                run.prepared = now
                self._tell(StepWorks(job.id, 0.0, words))

        heard(None, "begins")
        try:
            with heard_by(heard):
                for update in ensure(
                    session, job.step, model, again=job.again, begun=begun, id=job.id
                ):
                    if isinstance(update, Started):
                        self._begin(run, update, session, model)
                    elif run.part is not None and isinstance(update, Rows):
                        run.part.add(update)
                        self._let_others(job.step, model)
                    elif run.part is not None and isinstance(update, Finished):
                        run.part.flush()
                        if run.part.id != job.id:
                            self._tell(StepEnded(run.part.id, "done", update.seconds))
                        run.part = None
        finally:
            if run.part is not None:
                run.part.flush()
            if not session.steps:
                discard_if_empty(session)
                self._session = None

    def _begin(self, run: _Run, started: Started, session: Session, model: Model) -> None:
        """Tell of a step whose record is there."""
        recorded = started.recorded
        own = recorded.step == run.job.step.fitted(model.fits)
        id = run.job.id if own else recorded.address
        if started.finished:
            self._tell(StepKept(id, recorded, session))
            return
        self._tell(StepStarted(id, started, session, recorded.rows()))
        run.part = _Part(id, started, self._tell)
        self._doubt_answers(recorded.step, model)

    def _doubt_answers(self, step: Step, model: Model) -> None:
        """Tell of the cases whose answers the model spells otherwise; of one its screen does."""
        from analysis.methods.spelling import otherwise_spelt

        prompts = getattr(step, "prompts", None)
        if prompts is not None and len(prompts) > 1:
            with model.changed(step.changes):
                found = otherwise_spelt(model, prompts)
            if found:
                self._tell(AnswersDoubted(of_set(found, prompts)))

    def _open_session(self, job: RunJob, model: Model) -> Session:
        """The session of this run of the program, begun with its first step."""
        if self._session is None:
            hint = getattr(getattr(job.step, "prompts", None), "name", None) or job.step.kind
            self._session = Session.use(
                self._session_name, model.info, seed=self._settings.seed, hint=hint
            )
        return self._session


def _reason(error: Exception, what: str) -> str:
    """One line for the user; what nobody foresaw goes to the log in full."""
    if isinstance(error, WorkbenchError):
        return str(error)
    log.error(what, exc_info=error)
    return f"{type(error).__name__}: {error}".split("\n")[0]
