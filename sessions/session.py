"""A session: the steps taken on one model, in one folder."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from analysis.errors import InputError, WorkbenchError
from analysis.folders import NameTaken, written_aside
from analysis.model.info import ModelInfo
from analysis.step import Step
from sessions import paths
from sessions.documents import (
    DESK_FILE,
    VIEW_FILE,
    Desk,
    SessionInfo,
    StepInfo,
    View,
    ViewDocument,
    checked_note,
    now,
)
from sessions.files import Unreadable, folder_usage, signature, writing
from sessions.identity import difference
from sessions.lock import WriterLock, is_written
from sessions.recorded import FOLDER_NAME, STEP_FILE, RecordedStep

SESSION_FILE = "session.json"


class Session:
    """A folder of recorded steps. Reading needs no lock; one process at a time may write.

    Make one with `create`, `open` or `use`, and close it, best with `with`.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        """Open the session in `folder`; `Session.open` also finds it by name.

        Raises:
            WorkbenchError: it is damaged, from a newer program, or being written already.
        """
        self.folder = folder
        self.notices: list[str] = []
        """What was set aside or found out of order, one line each."""
        self._known: dict[str, RecordedStep] = {}
        self._editing = threading.Lock()
        self._lock: WriterLock | None = None
        try:
            self.info = SessionInfo.read(folder / SESSION_FILE)
        except Unreadable as error:
            raise WorkbenchError(f"cannot open session {folder.name}: {error}") from error
        if writable:
            self._lock = WriterLock.acquire(folder)
            try:
                self._settle_left_behind()
            except BaseException:
                self.close()
                raise

    @classmethod
    def create(
        cls,
        name: str | None,
        model: ModelInfo,
        *,
        seed: int,
        root: Path | None = None,
        hint: str = "session",
        note: str = "",
    ) -> Self:
        """Begin a session and open it for writing.

        Args:
            name: what to call it; None: `hint` and a number.
            model: the model all its numbers will come from.
            seed: the seed of everything random in it.
            root: the folder of sessions, if not the user's own.
            hint: what the session is about, for the generated name.
            note: what the user wants to remember of it.

        Raises:
            InputError: the name cannot be used or is taken.
        """
        base = paths.root(root)
        text = checked_note(note)
        if name is not None:
            paths.checked_name(name)
        with writing(base):
            base.mkdir(parents=True, exist_ok=True)
            while True:
                chosen = name or paths.generated_name(hint, os.listdir(base))
                info = SessionInfo(name=chosen, created=now(), model=model, seed=seed, note=text)
                try:
                    with written_aside(base / chosen, replace=False) as folder:
                        info.write(folder / SESSION_FILE)
                except NameTaken:
                    if name is not None:
                        raise paths.name_taken(name) from None
                else:
                    return cls(base / chosen, writable=True)

    @classmethod
    def open(
        cls, name_or_path: str | Path, root: Path | None = None, writable: bool = False
    ) -> Self:
        """Open an existing session by name, by path, or an example as `example:NAME`.

        Raises:
            InputError: there is no such session.
            WorkbenchError: it is damaged, from a newer program, or being written already.
        """
        folder = paths.located(name_or_path, paths.root(root))
        if writable and folder.parent == paths.examples_root():
            raise InputError(f"{folder.name} is an example and cannot be changed")
        return cls(folder, writable=writable)

    @classmethod
    def use(
        cls,
        name: str | None,
        model: ModelInfo,
        *,
        seed: int,
        root: Path | None = None,
        hint: str = "session",
    ) -> Self:
        """Open for writing the session called `name`, or begin it if there is none.

        Raises:
            InputError: it was recorded with a different model, or the name cannot be used.
            WorkbenchError: it cannot be opened, or is being written already.
        """
        file = paths.root(root) / paths.checked_name(name or "session") / SESSION_FILE
        if name is None or not os.path.lexists(file):
            return cls.create(name, model, seed=seed, root=root, hint=hint)
        session = cls.open(name, root, writable=True)
        try:
            session.check_model(model)
        except BaseException:
            session.close()
            raise
        return session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Session {self.name}>"

    def close(self) -> None:
        """Give the right to write back, if this object had it. Reading goes on working."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def address(self) -> str:
        """What `open` finds it by: its name, with `example:` before that of an example."""
        example = self.folder.parent == paths.examples_root()
        return f"example:{self.name}" if example else self.name

    @property
    def writable(self) -> bool:
        """Whether this object holds the right to write."""
        return self._lock is not None

    @property
    def is_written(self) -> bool:
        """Whether anybody, here or in another process, is writing it now."""
        return self.writable or is_written(self.folder)

    @property
    def steps(self) -> list[RecordedStep]:
        """The readable steps in order, as they are on disk now."""
        opened = (self._opened(folder) for folder in self._step_folders())
        return [recorded for recorded in opened if recorded is not None]

    @property
    def unreadable(self) -> list[str]:
        """The ids of the steps that cannot be read; a notice says why of each."""
        return [folder.name for folder in self._step_folders() if self._opened(folder) is None]

    def step(self, id_or_index: str | int) -> RecordedStep:
        """One step by its id (`003-cna`) or its number; no other is read.

        Raises:
            InputError: there is no such step.
        """
        wanted = str(id_or_index)
        for folder in self._step_folders():
            if wanted in (folder.name, str(int(folder.name.partition("-")[0]))):
                recorded = self._opened(folder)
                if recorded is not None:
                    return recorded
        ids = ", ".join(recorded.id for recorded in self.steps) or "none"
        raise InputError(f"session {self.name} has no step {wanted}; it has {ids}")

    def find(self, step: Step) -> RecordedStep | None:
        """The last record of a step with these parameters, a finished one before others.

        One by an earlier edition of the method is another step: its numbers mean something else.
        """
        same = [each for each in self.steps if each.step == step and not each.outdated]
        finished = [recorded for recorded in same if recorded.state == "done"]
        return next(iter((finished or same)[::-1]), None)

    @property
    def size_bytes(self) -> int:
        """What the session takes on disk."""
        return folder_usage(self.folder)[0]

    def check_model(self, model: ModelInfo) -> None:
        """Make sure that `model` is the one the session was recorded with.

        Raises:
            InputError: it is another one; says in what they differ.
        """
        what = difference(self.info.model, model)
        if what is not None:
            raise InputError(
                f"session {self.name} was recorded with another model: {what}; "
                "use another --session"
            )

    def add_step(self, info: StepInfo) -> RecordedStep:
        """Make the folder of a new step, complete with its record.

        Raises:
            WorkbenchError: the session is not open for writing, or the system refused.
        """
        self.require_writable()
        with writing(self.folder):
            numbers = [int(folder.name.partition("-")[0]) for folder in self._step_folders()]
            folder = self.folder / f"{max(numbers, default=0) + 1:03d}-{info.kind}"
            with written_aside(folder, replace=False) as aside:
                info.write(aside / STEP_FILE)
        recorded = RecordedStep(folder, lambda: self.is_written, self._notice)
        self._known[folder.name] = recorded
        return recorded

    def drop_step(self, recorded: RecordedStep) -> None:
        """Remove a step that has no rows, as if nobody had asked for it.

        Raises:
            WorkbenchError: the session is not open for writing, or the system refused.
        """
        self.require_writable()
        # Gone for everybody in one step, so nobody opens it half removed.
        doomed = recorded.folder.with_name(f".removed-{os.getpid()}-{recorded.id}")
        with writing(self.folder):
            recorded.folder.rename(doomed)
        self._known.pop(recorded.id, None)
        shutil.rmtree(doomed, ignore_errors=True)

    def amend(self, recorded: RecordedStep, **changes: Any) -> StepInfo:
        """Change fields of a step's record; the others stay as they are on disk.

        A step under way and a note on it come from two threads: neither undoes the other.

        Raises:
            WorkbenchError: the session is not open for writing, or the system refused.
        """
        self.require_writable()
        with self._editing:
            info = recorded.info.model_copy(update=changes)
            info.write(recorded.folder / STEP_FILE)
        return info

    def note(self, text: str, step: str | int | None = None) -> None:
        """Put a note on the session or on one of its steps, in place of the one it had.

        Works on a session open for reading too: it is taken for writing for a moment.

        Args:
            text: what to remember, over several lines if need be; empty: nothing.
            step: id or number of the step; None: the session.

        Raises:
            InputError: there is no such step, the text is too long or no valid text, or the
                session is an example.
            WorkbenchError: somebody else is writing the session, or the system refused.
        """
        text = checked_note(text)
        if not self.writable:
            with self.open(self.folder, writable=True) as writer:
                writer.note(text, step)
                self.info = writer.info
        elif step is not None:
            self.amend(self.step(step), note=text)
        else:
            with self._editing:
                info = self.info.model_copy(update={"note": text})
                info.write(self.folder / SESSION_FILE)
                self.info = info

    def require_writable(self) -> None:
        """Make sure that this object may write.

        Raises:
            WorkbenchError: the session was opened for reading, or is closed.
        """
        if not self.writable:
            raise WorkbenchError(f"session {self.name} is open for reading only")

    def _step_folders(self) -> list[Path]:
        try:
            names = os.listdir(self.folder)
        except OSError as error:
            raise WorkbenchError(
                f"cannot read session {self.name}: {error.strerror or error}"
            ) from error
        matches = [match for name in names if (match := FOLDER_NAME.fullmatch(name))]
        matches.sort(key=lambda match: (int(match[1]), match[0]))
        return [self.folder / match[0] for match in matches]

    def _opened(self, folder: Path) -> RecordedStep | None:
        """The step in a folder; None, with a notice, if it cannot be read."""
        try:
            if folder.is_symlink() or not folder.is_dir():
                raise Unreadable("it is not a folder of this session")
            if folder.name not in self._known:
                recorded = RecordedStep(folder, lambda: self.is_written, self._notice)
                self._known[folder.name] = recorded
                if recorded.outdated:
                    self._notice(f"some steps were {recorded.outdated}")
            return self._known[folder.name]
        except WorkbenchError as error:
            self._notice(f"step {folder.name} is set aside: {error}")
            return None

    def _settle_left_behind(self) -> None:
        """Write down what was interrupted, before work in this process makes it look alive."""
        assert self._lock is not None
        if self._lock.left_behind is not None:
            pid = self._lock.left_behind.pid
            self._notice(f"process {pid} ended without closing the session; its rows are kept")
        for recorded in self.steps:
            if recorded.info.state == "running":
                self.amend(recorded, state="interrupted")

    def _notice(self, line: str) -> None:
        if line not in self.notices:
            self.notices.append(line)


def read_view(step: RecordedStep) -> View:
    """How a step was looked at last; empty if nobody knows."""
    try:
        return ViewDocument.read(step.folder / VIEW_FILE).view
    except Unreadable:
        return {}


def write_view(session: Session, step_id: str, view: View) -> None:
    """Keep a view beside the rows it is of.

    Raises:
        InputError: there is no such step.
        WorkbenchError: the session is not open for writing, or the system refused.
    """
    session.require_writable()
    ViewDocument(view=view).write(session.step(step_id).folder / VIEW_FILE)


def read_desk(session: Session) -> tuple[Desk, str]:
    """How a session was left, and in one line why that is passed over where it cannot be used."""
    if signature(session.folder / DESK_FILE) is None:
        return Desk(), ""
    try:
        desk = Desk.read(session.folder / DESK_FILE)
        for each in desk.changes.interventions:
            session.info.model.check_parts(each)
    except WorkbenchError as error:
        return Desk(), f"how session {session.name} was left is not known: {DESK_FILE}, {error}"
    return desk, ""


def write_desk(session: Session, desk: Desk) -> None:
    """Keep how a session is left.

    Raises:
        WorkbenchError: the session is not open for writing, or the system refused.
    """
    session.require_writable()
    desk.write(session.folder / DESK_FILE)
