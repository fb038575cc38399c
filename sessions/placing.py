"""Folders of sessions appear whole under their name, and a name is taken only once."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError
from analysis.folders import sync

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
