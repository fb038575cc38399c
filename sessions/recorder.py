"""Having a step in a session: what is there is used, what was begun goes on, the rest is computed.

The command line, the screens, plans, the paper's tables and notebooks all ask `ensure`. Each frame
is on disk before anybody hears of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from uuid import uuid4

import polars as pl

from analysis.columns import schema
from analysis.errors import Cancelled, InputError, WorkbenchError
from analysis.step import Asking, Found, Step, Work
from sessions.documents import StepInfo, now
from sessions.parts import ESTIMATES_FILE, list_parts, part_path, write_frame
from sessions.recorded import FILES_FOLDER, RecordedStep
from sessions.session import Session

if TYPE_CHECKING:
    from analysis.model.model import Model

_CHECKPOINT = 5.0
"""Seconds between notes of the time worked, for the record of a process that is killed. In the
beginning they come more often, so that a brief run leaves its time too."""
_OFTEN = 0.25
"""Where this much of the time worked is not noted yet, it is."""


@dataclass(frozen=True, slots=True)
class Started:
    """The arguments fit the model, and the step has its place in the session."""

    recorded: RecordedStep
    expected: int
    """Rows there will be."""
    done: int
    """Rows on disk already, from before."""
    baseline: dict[str, Any]
    estimates: pl.DataFrame | None
    memory: int = 0
    """Bytes it is expected to take beyond the model; 0 if nobody knows."""
    finished: bool = False
    """The session had all its rows already, and nothing is computed."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch is finished and on disk."""

    frame: pl.DataFrame
    done: int
    """Rows on disk, these included."""
    expected: int
    elapsed: float
    """Seconds worked on the step, earlier runs included."""
    remaining_seconds: float
    """Estimated from the pace of this run."""


@dataclass(frozen=True, slots=True)
class Finished:
    """All rows are on disk."""

    seconds: float
    """Time worked on the step, earlier runs included."""


Update: TypeAlias = Started | Rows | Finished


def new_id() -> str:
    """What a step is known by, from the moment it is asked for."""
    return uuid4().hex


def ensure(
    session: Session,
    step: Step,
    model: Model,
    *,
    again: bool = False,
    begun: RecordedStep | None = None,
    id: str | None = None,
) -> Iterator[Update]:
    """Have all rows of a step in a session, and tell what happens, batch by batch.

    A finished record of the step is used as it is, an unfinished one is gone on with, and else the
    step is computed. A step that asks for others, as a table of the paper does, has each of them in
    the same session before itself: from each `Started` to its `Finished` the updates are of one
    step, and the last ones of the step that was asked for.

    Closing the iterator stops the step under way and keeps what is finished, or leaves nothing of a
    step that has no rows yet; so do `Cancelled` and `KeyboardInterrupt`, which come back to the
    caller, as does every other error.

    Args:
        session: where to, open for writing.
        step: what is wanted.
        model: what to run it on.
        again: compute it anew, whatever the session has of it.
        begun: go on with this record of it, whatever others the session has.
        id: what its record is to be known by, as `new_id` makes it; None: a new one.

    Raises:
        InputError: an argument does not fit the model, or the model not the session; then nothing
            is left on disk.
        WorkbenchError: the session cannot be written.
    """
    step = step.fitted(model.fits)
    known = begun if begun is not None or again else session.find(step)
    if known is not None and known.state == "done":
        info, estimates = known.info, known.estimates()
        yield Started(known, info.expected, info.expected, info.baseline, estimates, finished=True)
        yield Finished(info.seconds)
        return
    asking = step.asks()
    work = None if asking is None else (yield from _answering(session, asking, model))
    yield from record(session, step, model, resume=known, work=work, id=id)


def _answering(session: Session, asking: Asking, model: Model) -> Generator[Update, None, Work]:
    """Have every step that another one asks for in the session, and return that one's work."""
    found: Found | None = None
    try:
        while True:
            wanted = asking.send(cast(Found, found))  # None begins a generator
            yield from ensure(session, wanted, model)
            recorded = session.find(wanted)
            assert recorded is not None
            found = recorded.found()
    except StopIteration as end:
        return cast(Work, end.value)


def record(
    session: Session,
    step: Step,
    model: Model,
    *,
    resume: RecordedStep | None = None,
    work: Work | None = None,
    id: str | None = None,
) -> Iterator[Update]:
    """Compute a step and write down what it yields, batch by batch, as `ensure` tells.

    Most callers want `ensure`, which looks first what the session has.

    Args:
        session: where to, open for writing.
        step: what to run.
        model: what to run it on.
        resume: go on with this recorded step, skipping the rows it has.
        work: the step bound to the model, where that is done already.
        id: what a new record is to be known by; None: a new one.

    Raises:
        InputError: an argument does not fit the model, or the model not the session; then nothing
            is left on disk.
        WorkbenchError: the session cannot be written.
    """
    session.require_writable()
    session.check_model(model.info)
    if resume is not None:
        _check_fits(resume, session, step)
    begun = time.monotonic()
    work = work or step.bound(model)
    writer = _Writer.begin(session, step, work, begun, resume, id or new_id())
    try:
        keys = writer.recorded.keys() if resume else set()
        done = writer.recorded.done_rows if resume else 0
        if work.estimates is not None:
            write_frame(writer.recorded.folder / ESTIMATES_FILE, work.estimates)
        yield Started(
            writer.recorded, work.expected, done, work.baseline, work.estimates, work.memory
        )
        if work.place is not None:
            work.place(writer.recorded.folder / FILES_FOLDER)
        if work.recall is not None and resume is not None:
            work.recall(writer.recorded.rows())
        yield from writer.written(work.frames(keys), done, work.expected)
        writer.save("done", expected=writer.rows)  # a method may come to fewer than it foresaw
    except (GeneratorExit, Cancelled, KeyboardInterrupt):
        writer.stopped()
        raise
    except BaseException as error:
        writer.save_if_possible("failed", _one_line(error))
        raise
    writer.recorded.compact()
    yield Finished(writer.info.seconds)


def _check_fits(resume: RecordedStep, session: Session, step: Step) -> None:
    """Refuse to go on with a record that is of something else.

    Raises:
        InputError: it is of another session, of other parameters, or of an earlier method.
    """
    if resume.folder.parent.resolve() != session.folder.resolve():
        raise InputError(f"{resume.id} is not a step of session {session.name}")
    if resume.step != step:
        raise InputError(f"step {resume.id} was recorded with other parameters")
    if resume.outdated:
        raise InputError(
            f"step {resume.id} was {resume.outdated}; its rows are kept, ask for the step anew"
        )


class _Writer:
    """Keeps one step's folder up to date while it runs."""

    def __init__(
        self, session: Session, recorded: RecordedStep, info: StepInfo, step: Step, begun: float
    ) -> None:
        self.session = session
        self.recorded = recorded
        self.info = info
        self._columns = schema(step.columns)
        self._begun = begun
        self._earlier = info.seconds
        self.rows = 0
        """On disk, once all of them are written."""
        self._saved = begun
        # Damaged parts keep their numbers, so nothing is ever written over them.
        self._next = max((part.number for part in list_parts(recorded.folder)), default=-1) + 1

    @classmethod
    def begin(
        cls,
        session: Session,
        step: Step,
        work: Work,
        begun: float,
        resume: RecordedStep | None,
        id: str,
    ) -> _Writer:
        fresh: dict[str, Any] = {
            "state": "running",
            "error": None,
            "expected": work.expected,
            "baseline": work.baseline,
        }
        if resume is not None:
            return cls(session, resume, session.amend(resume, **fresh), step, begun)
        params = step.model_dump(mode="json")
        info = StepInfo(
            id=id,
            kind=step.kind,
            params=params,
            edition=step.edition,
            started=now(),
            **fresh,
        )
        return cls(session, session.add_step(info), info, step, begun)

    @property
    def worked(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self._begun

    @property
    def seconds(self) -> float:
        """Seconds worked on the step, earlier runs included."""
        return self._earlier + self.worked

    def written(self, frames: Iterator[pl.DataFrame], before: int, expected: int) -> Iterator[Rows]:
        """Put frames on disk as they come, and tell of each.

        Args:
            frames: closed at the end, however it comes.
            before: rows on disk already.
            expected: rows there will be.
        """
        self.rows = before
        try:
            for frame in frames:
                self._write(frame)
                self.rows += frame.height
                left = max(expected - self.rows, 0)
                pace = self.worked / max(self.rows - before, 1)
                yield Rows(frame, self.rows, expected, self.seconds, pace * left)
        finally:
            if (close := getattr(frames, "close", None)) is not None:
                close()

    def _write(self, frame: pl.DataFrame) -> None:
        for name, dtype in self._columns.items():
            if frame.schema.get(name) != dtype:
                found = frame.schema.get(name, "nothing")
                raise WorkbenchError(f"{self.info.kind} yields {found} as {name}, not {dtype}")
        if frame.height:
            path = part_path(self.recorded.folder, self._next)
            write_frame(path, frame.select(list(self._columns)))
            self._next += 1
        unsaved = time.monotonic() - self._saved
        if unsaved > min(_CHECKPOINT, _OFTEN * self.worked):
            self.save("running")

    def save(self, state: str, error: str | None = None, **more: Any) -> None:
        """Write down the state, the time worked, and what else is known."""
        seconds = round(self.seconds, 3)
        self.info = self.session.amend(
            self.recorded, state=state, error=error, seconds=seconds, **more
        )
        self._saved = time.monotonic()

    def stopped(self) -> None:
        """Keep what there is; a step that was stopped before its first rows leaves nothing."""
        if list_parts(self.recorded.folder):
            self.save_if_possible("stopped")
        else:
            with contextlib.suppress(WorkbenchError):
                self.session.drop_step(self.recorded)

    def save_if_possible(self, state: str, error: str | None = None) -> None:
        """The same while an error is on its way, which must not be hidden by another."""
        with contextlib.suppress(WorkbenchError):
            self.save(state, error)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:500]
    if isinstance(error, WorkbenchError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
