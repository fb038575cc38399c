"""Looking at a session that another process writes, without getting in its way."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from sessions.files import signature
from sessions.lock import WRITER_FILE, is_written, writer_of
from sessions.recorded import STEP_FILE, RecordedStep
from sessions.session import Session

UNNAMED = "another process"
"""A writer that is about to say who it is, or about to leave."""


def other_writer(folder: Path) -> str | None:
    """The other process that writes the session in `folder`, in words; None: there is none."""
    if not is_written(folder):
        return None
    writer = writer_of(folder)
    if writer is None:
        return UNNAMED
    here = writer.host == platform.node()
    if here and writer.pid == os.getpid():
        return None
    return f"process {writer.pid}" if here else f"process {writer.pid} on {writer.host}"


class Follower:
    """Tells which steps of a session have changed; each look is brief and holds nothing.

    What was there when the follower was made counts as seen: make it before reading the rows.
    """

    def __init__(self, session: Session) -> None:
        self.session = Session(session.folder)
        """An object of its own: looks may come from another thread."""
        # Of the caller's object, which need not read its steps a second time.
        self._seen: dict[str, object] = {step.id: _mark(step) for step in session.steps}
        self.writer = other_writer(session.folder)
        """Who was writing at the last look, in words."""

    @property
    def died(self) -> bool:
        """Whether the last writer is gone without having closed the session."""
        folder = self.session.folder
        return not is_written(folder) and (folder / WRITER_FILE).exists()

    def look(self) -> list[RecordedStep]:
        """The steps that are new or have changed since the look before.

        Raises:
            WorkbenchError: the session is gone.
        """
        # Asked first: what a writer did before it ended is then seen in this look.
        writer = other_writer(self.session.folder)
        if writer != UNNAMED or self.writer is None:
            self.writer = writer
        changed = []
        for step in self.session.steps:
            mark = _mark(step)
            if self._seen.get(step.id) != mark:
                self._seen[step.id] = mark
                changed.append(step)
        return changed


def _mark(step: RecordedStep) -> object:
    """What changes whenever something of a step does."""
    # Parts come and go by renaming, which the folder's own time tells of.
    return signature(step.folder), signature(step.folder / STEP_FILE), step.info.state
