"""Many small parts become one when a step is done."""

from __future__ import annotations

import contextlib

from analysis.errors import WorkbenchError
from sessions.files import signature
from sessions.parts import list_parts, part_path, write_frame
from sessions.recorded import RecordedStep

MAX_BYTES = 256 * 2**20
"""Larger steps stay in parts: merging holds all rows in memory, and they have few small files."""


def compact(recorded: RecordedStep) -> None:
    """Merge the parts of a step into its first one.

    The merged file holds all rows and takes the first part's place in one rename. Only then the
    other parts go. A crash in between leaves some of them beside it with rows it has too, and of
    rows with the same key one counts, so at every moment a reader finds each row once and in the
    same order. A part that cannot be read stays where it is, and then so do all others.
    """
    parts = list_parts(recorded.folder)
    if len(parts) < 2 or sum((signature(p.path) or (0, 0))[1] for p in parts) > MAX_BYTES:
        return
    try:
        if recorded.readable_parts() != parts:
            return
        write_frame(part_path(recorded.folder, 0), recorded.rows())
    except (WorkbenchError, OSError):
        # The rows are safe as they are; tidying can wait for a disk with more room.
        return
    for part in parts:
        if part.number != 0:
            with contextlib.suppress(OSError):
                part.path.unlink()
