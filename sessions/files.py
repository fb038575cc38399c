"""Reading that survives other people's files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from analysis.errors import WorkbenchError

MAX_JSON_BYTES = 64 * 2**20
MAX_PART_BYTES = 4 * 2**30

_READ_FLAGS = (
    os.O_RDONLY
    # A link could lead out of the session folder, and opening a named pipe would wait forever.
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)


class Unreadable(WorkbenchError):
    """A file of a session cannot be used; the message says why, without naming the file."""


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """What the system refuses in `folder` becomes one line that names it.

    Raises:
        WorkbenchError: the system refused.
    """
    try:
        yield
    except OSError as error:
        raise WorkbenchError(f"cannot write in {folder.name}: {error.strerror or error}") from error


def read_plain(path: Path, limit: int) -> bytes:
    """The bytes of a plain file, which is neither a link nor larger than `limit`.

    Raises:
        Unreadable: it is missing, something else than a plain file, or too large.
    """
    try:
        with open_plain(path) as file:
            if os.fstat(file.fileno()).st_size > limit:
                raise Unreadable(f"it is larger than {limit // 2**20} MiB")
            return file.read(limit)
    except FileNotFoundError as error:
        raise Unreadable("it is missing") from error
    except OSError as error:
        if path.is_symlink():
            raise Unreadable("it is a link") from error
        raise Unreadable(str(error.strerror or error)) from error


def open_plain(path: Path) -> BinaryIO:
    """Open a plain file for reading.

    Raises:
        Unreadable: it is something else, as a folder or a pipe.
        OSError: it is missing, a link, or the system refused.
    """
    descriptor = os.open(path, _READ_FLAGS)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unreadable("it is not a plain file")
    return open(descriptor, "rb")


def signature(path: Path) -> tuple[int, ...] | None:
    """What changes whenever the file at `path` is replaced; None if there is none."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def folder_usage(folder: Path) -> tuple[int, float]:
    """Bytes under `folder` and the newest modification time there, following no links."""
    size, newest = 0, 0.0
    pending = [folder]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                        continue
                    status = entry.stat(follow_symlinks=False)
                    size += status.st_size
                    newest = max(newest, status.st_mtime)
        except OSError:
            # A writer compacts or somebody removes meanwhile: what is left still counts.
            continue
    return size, newest
