"""All sessions in a folder at a glance, and removing one."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from analysis.errors import InputError, WorkbenchError
from analysis.folders import sync
from sessions import paths
from sessions.documents import SessionInfo, State, StepState
from sessions.files import Unreadable, folder_usage
from sessions.lock import WriterLock, is_written
from sessions.recorded import FOLDER_NAME, STEP_FILE
from sessions.session import SESSION_FILE


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """One line of a list of sessions."""

    name: str
    folder: Path
    size_bytes: int
    modified: datetime
    created: datetime | None = None
    model: str = ""
    """Name of the model; empty if the session cannot be opened."""
    note: str = ""
    kinds: tuple[str, ...] = ()
    """The kind of each readable step, in order."""
    states: tuple[State, ...] = field(default=())
    """The state of each of these."""
    problem: str | None = None
    """Why the session cannot be opened."""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(self.kinds)

    @property
    def age_seconds(self) -> float:
        """Seconds since it was last modified."""
        return max(time.time() - self.modified.timestamp(), 0.0)


def list_sessions(root: Path | None = None) -> list[SessionSummary]:
    """Every session in the folder of sessions, latest modified first; junk is passed over."""
    base = paths.root(root)
    summaries = [_summary(base / name) for name in paths.names_in(base)]
    return sorted(summaries, key=lambda summary: summary.modified, reverse=True)


def list_examples() -> list[SessionSummary]:
    """The sessions that come with the program, by name: their files are as old as the checkout."""
    return sorted(list_sessions(paths.examples_root()), key=lambda summary: summary.name)


def remove_session(name: str, root: Path | None = None) -> None:
    """Delete a session with all its steps.

    Raises:
        InputError: there is no session of that name.
        WorkbenchError: it is being written, or the system refused.
    """
    base = paths.root(root)
    folder = paths.located(paths.checked_name(name), base)
    if folder.is_symlink():
        raise InputError(f"session {name} is a link to another folder; remove it there")
    lock = WriterLock.acquire(folder)
    try:
        # Gone for everybody in one step, so nobody opens it half removed.
        doomed = base / f".removed-{os.getpid()}-{name}"
        folder.rename(doomed)
        sync(base)
    except OSError as error:
        lock.release()
        raise WorkbenchError(f"cannot remove session {name}: {error.strerror or error}") from error
    lock.abandon()
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        raise WorkbenchError(
            f"session {name} is removed, but {doomed.name} could not be deleted: "
            f"{error.strerror or error}"
        ) from error


def _summary(folder: Path) -> SessionSummary:
    size, newest = folder_usage(folder)
    modified = datetime.fromtimestamp(newest, UTC)
    try:
        info = SessionInfo.read(folder / SESSION_FILE)
    except Unreadable as error:
        return SessionSummary(folder.name, folder, size, modified, problem=str(error))
    steps = _step_states(folder)
    if any(step.state == "running" for step in steps) and not is_written(folder):
        # Read again: the writer may have finished between the reading and the question.
        steps = [
            step.model_copy(update={"state": "interrupted"}) if step.state == "running" else step
            for step in _step_states(folder)
        ]
    return SessionSummary(
        folder.name,
        folder,
        size,
        modified,
        created=info.created,
        model=info.model.name,
        note=info.note,
        kinds=tuple(step.kind for step in steps),
        states=tuple(step.state for step in steps),
    )


def _step_states(folder: Path) -> list[StepState]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    matches = [match for name in names if (match := FOLDER_NAME.fullmatch(name))]
    states = []
    for match in sorted(matches, key=lambda match: (int(match[1]), match[0])):
        if (folder / match[0]).is_symlink():
            continue
        try:
            states.append(StepState.read(folder / match[0] / STEP_FILE))
        except Unreadable:
            continue
    return states
