"""One writer a session, also across processes."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from analysis.errors import WorkbenchError
from sessions.documents import SessionWriter, now
from sessions.files import Unreadable

LOCK_FILE = ".lock"
WRITER_FILE = "writer.json"

PATIENCE = 1.0
"""Seconds to wait for the lock: a reader that looks who writes holds it for a moment."""


class WriterLock:
    """The right to write a session, held until `release` or the end of the process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.left_behind: SessionWriter | None = None
        """The last writer, if its process ended without giving the session back."""
        self._lock = _file_lock(folder)

    @classmethod
    def acquire(cls, folder: Path) -> Self:
        """Take the right to write the session in `folder`.

        Raises:
            WorkbenchError: another process has it (the message says which), or the folder cannot
                be written.
        """
        lock = cls(folder)
        try:
            if (folder / LOCK_FILE).is_symlink():
                raise WorkbenchError(f"session {folder.name} cannot be written: its lock is a link")
            lock._lock.acquire(timeout=PATIENCE, poll_interval=0.02)
        except Timeout:
            raise WorkbenchError(
                f"session {folder.name} is being written by {_described(folder)}; "
                f"`workbench replay {folder.name}` follows it, or use another session"
            ) from None
        except OSError as error:
            reason = error.strerror or error
            raise WorkbenchError(f"session {folder.name} cannot be written: {reason}") from error
        try:
            with contextlib.suppress(Unreadable):
                lock.left_behind = SessionWriter.read(folder / WRITER_FILE)
            writer = SessionWriter(pid=os.getpid(), host=platform.node(), since=now())
            writer.write(folder / WRITER_FILE)
        except BaseException:
            lock._lock.release()
            raise
        return lock

    def release(self) -> None:
        """Give the session back; a second time does nothing."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                (self.folder / WRITER_FILE).unlink(missing_ok=True)
            self._lock.release()

    def forget(self) -> None:
        """Take the writer's name off a folder that is about to be moved, with the lock still held.

        Raises:
            OSError: the system refused.
        """
        (self.folder / WRITER_FILE).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Release the lock of a folder that has been moved away."""
        self._lock.release()


def is_written(folder: Path) -> bool:
    """Whether a living process holds the session in `folder` for writing."""
    path = folder / LOCK_FILE
    if path.is_symlink() or not path.exists():
        return False
    lock = _file_lock(folder)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except OSError:
        # Somebody else's session: the lock cannot be tried, so the writer is taken at its word.
        return (folder / WRITER_FILE).exists()
    lock.release()
    return False


def writer_of(folder: Path) -> SessionWriter | None:
    """Who writes the session in `folder`, as whoever it is wrote down; None if nobody did."""
    try:
        return SessionWriter.read(folder / WRITER_FILE)
    except Unreadable:
        return None


def _file_lock(folder: Path) -> FileLock:
    # Acquired on the thread that opens the session, released on the one that closes it.
    return FileLock(folder / LOCK_FILE, thread_local=False)


def _described(folder: Path) -> str:
    writer = writer_of(folder)
    return "another process" if writer is None else str(writer)
