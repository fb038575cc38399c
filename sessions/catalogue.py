"""All sessions in a folder: at a glance, what could go of them, renaming and removing one."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from analysis.errors import InputError, WorkbenchError
from analysis.folders import sync
from sessions import paths
from sessions.documents import FoundState, SessionInfo, SessionWriter, StepState
from sessions.files import Unreadable, folder_usage
from sessions.following import other_writer
from sessions.lock import WriterLock, is_written, writer_of
from sessions.parts import looks_whole
from sessions.recorded import FOLDER_NAME, STEP_FILE, RecordedStep
from sessions.session import SESSION_FILE, Session

_LEFTOVER = re.compile(r"\.(?:new|removed)-\d+-.+")
_WORST_FIRST = ("damaged", "failed", "running", "interrupted", "stopped", "done")
_DAY = 24 * 3600.0
LOOKED_AT = 30
"""Sessions, the latest first, among which unfinished work is looked for."""
_LEFT = ("stopped", "interrupted", "running")
"""States of a step that can be gone on with, once nobody works on it."""


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
    states: tuple[FoundState, ...] = field(default=())
    """The state of each of these."""
    damaged: int = 0
    """Steps that cannot be read."""
    written: bool = False
    """Whether somebody writes it now."""
    writer: SessionWriter | None = None
    """Who does, as far as it is known."""
    problem: str | None = None
    """Why the session cannot be opened."""

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return len(self.kinds)

    @property
    def condition(self) -> str:
        """How it is, in the words of every list: `done`, or what else there is, the worst first."""
        if self.problem is not None:
            return self.problem
        counts: Counter[str] = Counter(self.states)
        counts["damaged"] += self.damaged
        if not +counts:
            return "no steps"
        if set(+counts) == {"done"}:
            return "done"
        return ", ".join(f"{counts[each]} {each}" for each in _WORST_FIRST if counts[each])

    @property
    def empty(self) -> bool:
        """Whether nothing would be lost without it: no step, not even a damaged one, no note."""
        return self.problem is None and not (self.steps or self.damaged or self.note)

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


def latest_unfinished(
    root: Path | None = None, wanted: Callable[[SessionInfo], bool] = lambda info: True
) -> tuple[Session, RecordedStep] | None:
    """The last step that was begun and left, of the session worked in last that has one.

    Looks at few sessions and reads no rows. Sessions that somebody writes are passed over, and so
    are steps that failed: they would fail again.

    Args:
        root: the folder of sessions, if not the user's own.
        wanted: which sessions are looked at.
    """
    base = paths.root(root)
    folders = sorted((base / name for name in paths.names_in(base)), key=_touched, reverse=True)
    for folder in folders[:LOOKED_AT]:
        states = [state for _, state in _step_states(folder)[0]]
        if {*_LEFT}.isdisjoint(states) or is_written(folder):
            continue
        try:
            session = Session(folder)
            left = [
                each for each in session.steps if each.info.state in _LEFT and not each.outdated
            ]
        except WorkbenchError:
            continue
        if left and wanted(session.info):
            return session, left[-1]
    return None


def _touched(folder: Path) -> float:
    """When a session was last taken for writing, or begun a step."""
    try:
        return folder.stat().st_mtime
    except OSError:  # removed meanwhile
        return 0.0


def prunable(
    summaries: Sequence[SessionSummary],
    older_than: timedelta | None = None,
    keep: int | None = None,
) -> list[SessionSummary]:
    """Which sessions to remove: empty ones, and what is too old or too many.

    Sessions that are being written or cannot be opened are never among them.

    Args:
        summaries: all sessions, latest modified first.
        older_than: the age from which a session goes.
        keep: how many of the latest stay however old they are; alone: all others go.
    """

    spared = {each.name for each in [each for each in summaries if not each.empty][: keep or 0]}

    def goes(each: SessionSummary) -> bool:
        if each.empty:
            return True
        if older_than is None:
            return keep is not None and each.name not in spared
        return each.age_seconds >= older_than.total_seconds() and each.name not in spared

    return [each for each in summaries if goes(each) and not each.written and not each.problem]


def leftovers(root: Path | None = None) -> list[Path]:
    """Folders that were left by processes killed a day ago or earlier, and are no sessions."""
    base = paths.root(root)
    return [
        path
        for path in (sorted(base.iterdir()) if base.is_dir() else ())
        if _LEFTOVER.fullmatch(path.name)
        and path.is_dir()
        and not path.is_symlink()
        and time.time() - path.stat().st_mtime > _DAY
    ]


def _summary(folder: Path) -> SessionSummary:
    size, newest = folder_usage(folder)
    modified = datetime.fromtimestamp(newest, UTC)
    try:
        info = SessionInfo.read(folder / SESSION_FILE)
    except Unreadable as error:
        return SessionSummary(folder.name, folder, size, modified, problem=str(error))
    steps, damaged = _step_states(folder)
    written = is_written(folder)
    if not written and any(state == "running" for _, state in steps):
        # Read again: the writer may have finished between the reading and the question.
        steps, damaged = _step_states(folder)
        steps = [(kind, "interrupted" if state == "running" else state) for kind, state in steps]
    return SessionSummary(
        folder.name,
        folder,
        size,
        modified,
        created=info.created,
        model=info.model.name,
        note=info.note,
        kinds=tuple(kind for kind, _ in steps),
        states=tuple(state for _, state in steps),
        damaged=damaged,
        written=written,
        writer=writer_of(folder) if written else None,
    )


def _step_states(folder: Path) -> tuple[list[tuple[str, FoundState]], int]:
    """Kind and state of the readable steps of a session in order, and how many others there are."""
    try:
        names = os.listdir(folder)
    except OSError:
        return [], 0
    matches = [match for name in names if (match := FOLDER_NAME.fullmatch(name))]
    states: list[tuple[str, FoundState]] = []
    for match in sorted(matches, key=lambda match: (int(match[1]), match[0])):
        try:
            if (folder / match[0]).is_symlink():
                continue
            step = StepState.read(folder / match[0] / STEP_FILE)
            states.append((step.kind, _found_state(folder / match[0], step)))
        except Unreadable:
            continue
    return states, len(matches) - len(states)


def _found_state(folder: Path, step: StepState) -> FoundState:
    """A step's state as its files say too; of sound ones no more than the end is read."""
    try:
        if step.state != "done" or looks_whole(folder):
            return step.state
        return RecordedStep(folder, lambda: False, lambda notice: None).state
    except (WorkbenchError, OSError):
        # Of a kind that this version does not know, or just removed.
        return step.state


def rename_session(name: str, new: str, root: Path | None = None) -> None:
    """Give a session another name; whoever wrote the old one down finds it no more.

    Raises:
        InputError: there is no session of that name, or the new one cannot be used or is taken.
        WorkbenchError: it is being written, or the system refused.
    """
    folder = _own(name, root)
    _move(folder, _free(folder, new), "rename")


def check_new_name(name: str, new: str, root: Path | None = None) -> None:
    """Refuse another name for a session, as `rename_session` would; nothing is changed.

    Raises:
        InputError: there is no session of that name, or the new one cannot be used or is taken.
    """
    _free(_own(name, root), new)


def check_changeable(name: str, root: Path | None = None) -> None:
    """Refuse what cannot be renamed or removed now, before anybody is asked about it.

    Raises:
        InputError: there is no such session, or it is an example or a link.
        WorkbenchError: it is being written.
    """
    folder = _own(name, root)
    if (writer := other_writer(folder)) is not None:
        raise WorkbenchError(f"{writer} writes session {name}: wait until that ends")
    if is_written(folder):
        raise WorkbenchError(
            f"session {name} is in use here; after quitting, workbench sessions changes it"
        )


def _free(folder: Path, new: str) -> Path:
    """The folder that a session would have under another name."""
    target = folder.with_name(paths.checked_name(new))
    if os.path.lexists(target):
        raise paths.name_taken(new)
    return target


def remove_session(name: str, root: Path | None = None) -> None:
    """Delete a session with all its steps.

    Raises:
        InputError: there is no session of that name.
        WorkbenchError: it is being written, or the system refused.
    """
    folder = _own(name, root)
    # Gone for everybody in one step, so nobody opens it half removed.
    doomed = folder.with_name(f".removed-{os.getpid()}-{name}")
    _move(folder, doomed, "remove")
    try:
        shutil.rmtree(doomed)
    except OSError as error:
        raise WorkbenchError(
            f"session {name} is removed, but {doomed.name} could not be deleted: "
            f"{error.strerror or error}"
        ) from error


def _own(name: str, root: Path | None) -> Path:
    """The folder of one of the user's sessions, which is no link and no example."""
    paths.check_own(name)
    folder = paths.located(paths.checked_name(name), paths.root(root))
    if folder.is_symlink():
        raise InputError(f"session {name} is a link to another folder; change it there")
    return folder


def _move(folder: Path, target: Path, verb: str) -> None:
    """Rename a session's folder while nobody writes it."""
    lock = WriterLock.acquire(folder)
    try:
        lock.forget()
        folder.rename(target)
        sync(folder.parent)
    except OSError as error:
        lock.release()
        raise WorkbenchError(
            f"cannot {verb} session {folder.name}: {error.strerror or error}"
        ) from error
    lock.abandon()
