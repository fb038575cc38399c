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

from textual.message import Message

from analysis.changes import Changes
from analysis.errors import Cancelled, WorkbenchError
from analysis.progress import cancellable, checkpoint, heard_by
from analysis.step import Step, Work
from analysis.tasks.prompts import Prompt
from screens.words import of_set
from screens.workspace import Reading, State
from sessions import RecordedStep, Rows, Session, Started, record
from sessions.provenance import Format
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
from workbench.pacing import Meter, Pacer
from workbench.runner import discard_if_empty, open_model
from workbench.settings import Settings

if TYPE_CHECKING:
    from analysis.model.model import Model

log = logging.getLogger(__name__)
PREDICTIONS = 6


@dataclass(frozen=True)
class RunJob:
    """Run a step, or finish one that was begun."""

    id: str
    step: Step
    resume: str | None = None
    """The id of the recorded step to go on with."""
    work: Work | None = None
    """The step bound already, where its rows come from other steps."""
    again: bool = False
    """Compute it although the session has it."""


@dataclass(frozen=True)
class ReadJob:
    """Tokenise a prompt and predict what follows."""

    prompt: Prompt


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
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._waiting: list[Job | None] = []
        """What came while a long job was running and could not be let in."""
        self._closing = threading.Event()
        self._door = threading.Lock()
        self._ended = False
        """Whether nothing more will be taken out of the queue."""
        self._flags: dict[str, threading.Event] = {}
        """What stops each job, from the moment it is submitted."""
        self._latest_read: Prompt | None = None

    def submit(self, job: Job) -> None:
        """Put a job in the queue. Of several prompts to read only the last is.

        Once the thread has ended, and where it ends first, a step is told as stopped.
        """
        with self._door:
            if not self._ended:
                if isinstance(job, ReadJob):
                    self._latest_read = job.prompt
                elif isinstance(job, RunJob):
                    self._flags[job.id] = threading.Event()
                self._queue.put(job)
                return
        self._drop(job)

    def stop(self, job_id: str) -> None:
        """Stop a job, or drop it if it has not begun. It ends within a second."""
        if (flag := self._flags.get(job_id)) is not None:
            flag.set()

    def close(self, timeout: float = 5.0) -> None:
        """Stop everything, let what is finished reach the disk, and wait for it."""
        self._closing.set()
        for flag in list(self._flags.values()):
            flag.set()
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

    def _drop(self, job: Job | None) -> None:
        """Let go of a job that will not be done."""
        if isinstance(job, RunJob):
            self._tell(StepEnded(job.id, "stopped", 0.0))
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

    def _work(self, job: Job, model: Model) -> None:
        """Do one job and tell what came of it."""
        if isinstance(job, ReadJob):
            if job.prompt == self._latest_read:
                self._tell(PromptRead(self._read(job.prompt, model)))
        elif isinstance(job, ExportJob):
            self._tell(Exported(job.folder, job.changes, self._export(job, model)))
        elif isinstance(job, UseSession):
            self._use(job.session)
        else:
            self._step(job, model)

    def _use(self, session: Session) -> None:
        if self._session is not None:
            self._session.close()
        self._session, self._session_name = session, session.name

    def _step(self, job: RunJob, model: Model) -> None:
        """Run a step and tell how it ended."""
        begun = time.monotonic()
        state: State = "done"
        reason = None
        # The same step may be asked for again before its first run has ended.
        flag = self._flags.setdefault(job.id, threading.Event())
        try:
            with cancellable(flag):
                checkpoint()
                self._record(job, model)
        except Cancelled:
            state = "stopped"
        except Exception as error:
            state, reason = "failed", _reason(error, f"step {job.step.kind} failed")
        self._flags.pop(job.id, None)
        self._tell(StepEnded(job.id, state, time.monotonic() - begun, reason))

    def _read(self, prompt: Prompt, model: Model) -> Reading:
        try:
            return read_prompt(model, prompt)
        except Exception as error:
            reason = _reason(error, "the prompt could not be read")
            return Reading(prompt, (), frozenset(), (), error=reason)

    def _export(self, job: ExportJob, model: Model) -> str | None:
        """Write a changed model; returns why it could not be done."""
        from sessions.provenance import measured_in
        from workbench.exporting import Export, check_allowed, export

        session = self._session
        try:
            check_allowed(self._settings)
            export(
                model,
                Export(
                    job.folder,
                    job.format,
                    job.changes,
                    self._settings.adapter,
                    None if session is None else session.name,
                    () if session is None else measured_in(session, job.changes),
                ),
            )
        except Exception as error:
            return _reason(error, "the export failed")
        return None

    def _let_others(self, job: RunJob, model: Model) -> None:
        """Do the brief jobs that came while a long one is running."""
        while not (job.step.brief or self._queue.empty() or self._closing.is_set()):
            other = self._queue.get()
            if other is None or not self._is_let_in(other):
                self._waiting.append(other)
            else:
                # In a context of its own: neither stopped nor heard as a part of the long job.
                Context().run(self._work, other, model)

    def _is_let_in(self, job: Job) -> bool:
        """Whether a job may run now, while a long one records in the present session."""
        if isinstance(job, ReadJob):
            return True
        if isinstance(job, UseSession) or any(
            isinstance(each, UseSession) for each in self._waiting
        ):
            return False
        return isinstance(job, ExportJob) or job.step.brief

    def _record(self, job: RunJob, model: Model) -> None:
        """Run a step into the session and tell the app."""
        session = self._open_session(job, model)
        known = None if job.again else session.find(job.step)
        resume = known if job.resume is None else session.step(job.resume)
        # What an earlier run of the program recorded is new to this one.
        earlier = resume if job.resume is None else None
        if earlier is not None and earlier.state == "done":
            self._tell_recorded(job, session, earlier)
            return
        pacer = Pacer(lambda frame, last: self._tell(FrameReady(job.id, frame, last)))
        meter = Meter(lambda *progress: self._tell(StepWorks(job.id, *progress)))
        try:
            with heard_by(meter.heard):
                for update in record(session, job.step, model, resume=resume, work=job.work):
                    if isinstance(update, Started):
                        self._tell(StepStarted(job.id, update, session))
                        meter.start(update.done, update.expected)
                        if earlier is not None:
                            self._tell_rows(job, earlier, update.expected)
                        self._doubt_answers(job, model)
                    elif isinstance(update, Rows):
                        pacer.add(update)
                        meter.add(update)
                        self._let_others(job, model)
        finally:
            pacer.flush()
            if not session.steps:
                discard_if_empty(session)
                self._session = None

    def _doubt_answers(self, job: RunJob, model: Model) -> None:
        """Tell of the cases whose answers the model spells otherwise; of one its screen does."""
        from analysis.methods.spelling import otherwise_spelt

        prompts = getattr(job.step, "prompts", None)
        if prompts is not None and len(prompts) > 1:
            with model.changed(job.step.changes):
                found = otherwise_spelt(model, prompts)
            if found:
                self._tell(AnswersDoubted(of_set(found, prompts)))

    def _tell_recorded(self, job: RunJob, session: Session, recorded: RecordedStep) -> None:
        """Tell the app of a step that is done already as if it had just run."""
        info = recorded.info
        started = Started(
            recorded, info.expected, info.expected, info.baseline, recorded.estimates()
        )
        self._tell(StepStarted(job.id, started, session))
        self._tell_rows(job, recorded, info.expected)

    def _tell_rows(self, job: RunJob, recorded: RecordedStep, expected: int) -> None:
        """Tell the app the rows on disk."""
        rows = recorded.rows()
        if rows.height:
            last = Rows(rows, rows.height, expected, recorded.info.seconds, 0.0)
            self._tell(FrameReady(job.id, rows, last))

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


def read_prompt(model: Model, prompt: Prompt) -> Reading:
    """Tokenise a prompt and predict what follows it."""
    import torch

    from analysis.methods.spelling import standing

    encoded = model.encode(prompt)
    with torch.no_grad():
        _, final = model.run(torch.tensor([encoded.ids], device=model.device))
        chances = torch.softmax(model.logits(final[0, -1]), -1).topk(PREDICTIONS)
    return Reading(
        prompt,
        tokens=tuple(model.token(token) for token in encoded.ids),
        special=encoded.special,
        answer=tuple(model.token(each) for each in (*encoded.first, *encoded.answer_ids[1:])),
        predictions=tuple(
            (model.token(token), chance)
            for token, chance in zip(chances.indices.tolist(), chances.values.tolist(), strict=True)
        ),
        standing=standing(model, prompt),
    )
