"""Giving a session another name."""

from __future__ import annotations

import os
from pathlib import Path

from analysis.errors import InputError, WorkbenchError
from analysis.folders import sync
from sessions import paths
from sessions.lock import WRITER_FILE, WriterLock
from sessions.placing import taken


def rename_session(name: str, new: str, root: Path | None = None) -> None:
    """Give a session another name; whoever wrote the old one down finds it no more.

    Raises:
        InputError: there is no session of that name, or the new one is taken or cannot be used.
        WorkbenchError: it is being written, or the system refused.
    """
    base = paths.root(root)
    folder, target = paths.located(paths.checked_name(name), base), base / paths.checked_name(new)
    if folder.is_symlink():
        raise InputError(f"session {name} is a link to another folder; rename it there")
    lock = WriterLock.acquire(folder)
    try:
        if os.path.lexists(target):
            raise taken(new)
        folder.rename(target)
        (target / WRITER_FILE).unlink(missing_ok=True)
        sync(base)
    except OSError as error:
        reason = error.strerror or error
        raise WorkbenchError(f"cannot rename session {name}: {reason}") from error
    finally:
        if folder.exists():
            lock.release()
        else:
            lock.abandon()
