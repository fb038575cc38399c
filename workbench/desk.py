"""How a session is left and found again: the step looked at last, and what is staged."""

from __future__ import annotations

import logging
from pathlib import Path

from analysis.errors import WorkbenchError
from screens.staged import Staged
from screens.workspace import Workspace
from sessions import Desk, Session, read_desk, write_desk
from workbench.shell import Shell

log = logging.getLogger(__name__)


class DeskKeeper:
    """Keeps with the session at hand how it is left, and puts that back.

    A replay is looked at without a trace, and so is all where the workbench is read-only.

    Args:
        shell: the program.
        workspace: what is kept of it, and put back into it.
    """

    def __init__(self, shell: Shell, workspace: Workspace) -> None:
        self._shell = shell
        self._workspace = workspace
        self._kept: tuple[Path, Desk] | None = None
        """What is on disk, and of which session."""
        self._refused = False
        """The disk did not take it."""

    @property
    def keeps_staged(self) -> bool:
        """Whether what is staged is on disk with the session that it belongs to."""
        if self._kept is None or self._refused:
            return False
        return self._kept[1].changes == self._workspace.staged.changes

    def see(self, result_id: str) -> None:
        """A result is looked at."""
        self._workspace.seen = result_id
        self.keep()

    def keep(self) -> None:
        """Write down how the session is left now, where it may be written and that is new.

        What it was left with comes first, where it is at hand only now.
        """
        workspace, session = self._workspace, self._workspace.session
        if session is None or not session.writable or workspace.readonly:
            return
        folder = session.folder
        if self._kept is None or self._kept[0] != folder:
            self._kept = (folder, self._lay(session))
        seen, staged = workspace.find(workspace.seen), workspace.staged
        desk = Desk(
            # One that has not begun has no name to be found by.
            step=seen.recorded.id if seen and seen.recorded else self._kept[1].step,
            staged=staged.changes.texts,
            in_use=staged.in_use,
        )
        if self._kept == (folder, desk):
            return
        self._kept, self._refused = (folder, desk), False
        try:
            write_desk(session, desk)
        except WorkbenchError as error:  # a convenience is not worth a message
            self._refused = True
            log.warning("how session %s is left is not kept: %s", session.name, error)

    def _lay(self, session: Session) -> Desk:
        """Have staged what was staged in a session that is worked on from now on, and say so.

        What is staged and kept nowhere stays, unless the session has changes of its own.
        """
        workspace = self._workspace
        desk, problem = read_desk(session)
        if problem:
            self._shell.notify(problem, severity="warning")
        if desk.staged or self.keeps_staged or not workspace.staged.unsaved:
            workspace.staged = Staged.of(desk.changes, desk.in_use)
        if desk.staged:
            used = ", and every analysis runs with that" if desk.in_use else ""
            words = f"{desk.changes}: still staged{used}. <app.change> shows it"
            self._shell.notify(words, timeout=12)
        return desk
