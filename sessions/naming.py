"""The names of sessions: a folder appears whole under its own, gets another, and is removed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError, WorkbenchError
from analysis.folders import sync
from sessions import paths
from sessions.lock import WriterLock

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class NameTaken(InputError):
    """A session of that name exists already."""


@contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `folder` once the block is done, or leaves nothing.

    Raises:
        NameTaken: something has that name.
        OSError: the system refused.
    """
    temporary = folder.with_name(f".new-{os.getpid()}-{folder.name}")
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno in _TAKEN:
                raise taken(folder.name) from error
            raise
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
    sync(folder.parent)


def taken(name: str) -> NameTaken:
    """What to say of a name that is taken."""
    return NameTaken(f"a session called {name} exists already; choose another name")


def rename_session(name: str, new: str, root: Path | None = None) -> None:
    """Give a session another name; whoever wrote the old one down finds it no more.

    Raises:
        InputError: there is no session of that name, or the new one cannot be used or is taken.
        WorkbenchError: it is being written, or the system refused.
    """
    folder = _own(name, root)
    target = folder.with_name(paths.checked_name(new))
    if os.path.lexists(target):
        raise taken(new)
    _move(folder, target, "rename")


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
