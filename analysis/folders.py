"""Folders and files that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError, WorkbenchError


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


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """A folder to write in that takes the name of `folder` once the block is done.

    What had that name before is replaced. What a killed process left beside it is removed.

    Raises:
        WorkbenchError: the system refused, for example because the disk is full.
    """
    aside = folder.with_name(f".new-{folder.name}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir()
        try:
            yield aside
            as_open_as_its_folder(aside)
            for path in aside.rglob("*"):
                sync(path)
            sync(aside)
            if folder.exists():
                shutil.rmtree(folder)
            aside.rename(folder)
            sync(folder.parent)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise WorkbenchError(f"cannot write {folder.name}: {error.strerror or error}") from error


@contextmanager
def file_aside(file: Path) -> Iterator[Path]:
    """A path to write to that takes the name of `file` once the block is done; it may replace one.

    Raises:
        WorkbenchError: the system refused, for example because the disk is full.
    """
    aside = file.with_name(f".new-{file.name}")
    try:
        try:
            yield aside
            sync(aside)
            aside.replace(file)
            sync(file.parent)
        finally:
            aside.unlink(missing_ok=True)
    except OSError as error:
        raise WorkbenchError(f"cannot write {file.name}: {error.strerror or error}") from error


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
