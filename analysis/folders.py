"""Files and folders that appear whole under their name, or not at all: everything we write does."""

from __future__ import annotations

import errno
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from analysis.errors import InputError, WorkbenchError

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


class NameTaken(InputError):
    """Something has the name that a folder is to take."""


def check_new_folder(folder: Path) -> None:
    """Make sure that nothing is written over.

    Raises:
        InputError: the folder holds something, is no folder, or its parent is not there.
    """
    if folder.is_symlink():
        raise InputError(f"{folder} is a link; name a new folder")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a new folder")
    try:
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder} is not empty; name a new folder")
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    if not folder.resolve().parent.is_dir():
        raise InputError(f"there is no folder {folder.parent} to export into")


def write_durably(path: Path, data: bytes) -> None:
    """Write a file so that after a crash it is whole, or the one that was there before.

    Raises:
        WorkbenchError: the system refused, for example because the disk is full.
    """
    with file_aside(path) as aside:
        aside.write_bytes(data)


@contextmanager
def file_aside(file: Path) -> Iterator[Path]:
    """A path to write to that takes the name of `file` once the block is done; it may replace one.

    What a killed process left under the temporary name is written over.

    Raises:
        WorkbenchError: the system refused, for example because the disk is full.
    """
    aside = file.with_name(f".new-{file.name}")
    try:
        aside.unlink(missing_ok=True)
        try:
            yield aside
            sync(aside)
            aside.replace(file)
        finally:
            aside.unlink(missing_ok=True)
        sync(file.absolute().parent)
    except OSError as error:
        raise WorkbenchError(f"cannot write {file.name}: {error.strerror or error}") from error


@contextmanager
def named_aside(file: Path) -> Iterator[Path]:
    """The same for a file that somebody named: where it is a link, what it leads to is written.

    A device or a pipe cannot be replaced: it is written to as it is.

    Raises:
        WorkbenchError: the system refused, for example because the disk is full.
    """
    target = file.resolve()
    if not target.exists() or target.is_file():
        with file_aside(target) as aside:
            yield aside
        return
    try:
        yield target
    except OSError as error:
        raise WorkbenchError(f"cannot write {file.name}: {error.strerror or error}") from error


@contextmanager
def written_aside(folder: Path, *, replace: bool = True) -> Iterator[Path]:
    """A folder to write in that takes the name of `folder` once the block is done.

    What processes of this machine that were killed left beside it is removed first.

    Args:
        folder: the name; folders above it are made.
        replace: whether what has that name may be replaced; an empty folder always is.

    Raises:
        NameTaken: something has that name, and it is not to be replaced.
        WorkbenchError: the system refused, for example because the disk is full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        aside = _beside(folder, "new")
        aside.mkdir()
        try:
            yield aside
            put_in_place(aside, folder, replace=replace)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error).strip().partition("\n")[0]
        raise WorkbenchError(f"cannot write {folder.name}: {reason}") from error


def put_in_place(made: Path, folder: Path, *, replace: bool = True) -> None:
    """Make a finished folder durable and give it its name, in one rename.

    Args:
        made: the folder, on the same disk as its final place.
        folder: the name it takes.
        replace: whether what has that name may be replaced; an empty folder always is.

    Raises:
        NameTaken: something has that name, and it is not to be replaced.
        OSError: the system refused.
    """
    as_open_as_its_folder(made)
    for path in (*made.rglob("*"), made):
        sync(path)
    former = _beside(folder, "removed")
    if replace and folder.exists():
        folder.rename(former)
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno in _TAKEN:
            raise NameTaken(f"{folder} is there already; name a new folder") from error
        raise
    sync(folder.absolute().parent)
    shutil.rmtree(former, ignore_errors=True)


def _beside(folder: Path, what: str) -> Path:
    """A name beside a folder that says which process made it, and what for."""
    return folder.with_name(f".{what}-{os.getpid()}-{platform.node()}-{folder.name}")


def _remove_leftovers(folder: Path) -> None:
    """Remove what processes of this machine that no longer run left beside a folder."""
    named = re.compile(rf"\.(?:new|removed)-(\d+)-{re.escape(f'{platform.node()}-{folder.name}')}")
    for path in folder.parent.iterdir():
        found = named.fullmatch(path.name)
        if found and (int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1]))):
            shutil.rmtree(path, ignore_errors=True)


def as_open_as_its_folder(folder: Path) -> None:
    """Let whoever may read a folder read its files: libraries write some for their owner alone."""
    mode = folder.stat().st_mode & 0o666
    for each in folder.rglob("*"):
        if each.is_file():
            each.chmod(mode)


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, survive a crash, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
