"""Changes staged for an edit of the model: put, undone, used by every analysis."""

from __future__ import annotations

from analysis.changes import Changes
from screens.base import NOTHING_STAGED, READONLY
from screens.workspace import Workspace
from workbench.shell import Shell


class Staging:
    """Changes what is staged, and says so; the model itself stays as it is.

    Args:
        shell: the program.
        workspace: where the staged changes are.
    """

    def __init__(self, shell: Shell, workspace: Workspace) -> None:
        self._shell = shell
        self._workspace = workspace

    def put(self, changes: Changes, words: str) -> None:
        """Stage changes in place of those that are.

        Args:
            changes: what is staged from now on.
            words: what was done, for the notice.
        """
        if self._workspace.readonly:
            self._shell.notify(READONLY, severity="warning")
            return
        self._workspace.staged.put(changes)
        self._shell.notify(words)
        self._shell.bring_up_to_date()

    def go(self, by: int) -> None:
        """Undo (−1) or redo (+1)."""
        if not self._workspace.staged.go(by):
            self._shell.notify(f"There is nothing to {'undo' if by < 0 else 'redo'}.")
        self._shell.bring_up_to_date()

    def turn_use(self) -> None:
        """Let every analysis run on the staged variant, or on the model as it is."""
        staged = self._workspace.staged
        if not staged.changes:
            self._shell.notify(NOTHING_STAGED)
            return
        staged.in_use = not staged.in_use
        on = f"with {staged.changes}" if staged.in_use else "on the model as it is"
        self._shell.notify(f"Every analysis now runs {on}.")
        self._shell.bring_up_to_date()
