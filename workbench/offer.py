"""What was begun and stopped, offered in one line: enter goes on with it, other keys leave it."""

from __future__ import annotations

import asyncio
import time

from analysis.errors import WorkbenchError
from screens.text import age
from screens.words import how_far
from screens.workspace import Result, Workspace
from sessions import Session, SessionInfo, latest_unfinished
from workbench.models.resolve import is_named
from workbench.runs import Runs
from workbench.settings import Settings
from workbench.shell import Shell


class Offer:
    """Offers to go on with a step, of the session at hand or of the one worked in last.

    Args:
        shell: the program.
        workspace: where the line stands.
        runs: what goes on with it.
        settings: whether anything is offered, and of which models; None: nothing is.
    """

    def __init__(
        self, shell: Shell, workspace: Workspace, runs: Runs, settings: Settings | None
    ) -> None:
        self._shell = shell
        self._workspace = workspace
        self._runs = runs
        self._settings = settings
        self._session: Session | None = None
        """Where the step is, if not in the session at hand."""
        self._step = ""
        """Address of its record."""
        self._touched = False
        """A key was pressed: whoever works already is not interrupted."""

    @property
    def _on(self) -> bool:
        return self._settings is not None and self._settings.offer_unfinished

    async def look(self) -> None:
        """Offer what is unfinished in the session worked in last; nothing waits for the disk."""
        if not self._on:
            return
        try:
            found = await asyncio.to_thread(self._found)
        except (OSError, WorkbenchError):
            return
        if found is not None and not (self._touched or self._workspace.results):
            self._session, self._step, words = found
            self._say(words)

    def _found(self) -> tuple[Session, str, str] | None:
        found = latest_unfinished(wanted=self._opens)
        if found is None:
            return None
        session, step = found
        ago = age(max(0.0, time.time() - step.folder.stat().st_mtime))
        words = f"{_words(Result.read(step, session.info.model))} · {session.name} · {ago} ago"
        return session, step.address, words

    def _opens(self, info: SessionInfo) -> bool:
        """Whether the model of a session can be found: its record names no folder."""
        settings = self._settings
        return settings is not None and (settings.means(info.model) or is_named(info.model.name))

    def of_hand(self) -> None:
        """Offer what is unfinished in the session at hand: what is in sight before others."""
        workspace, front = self._workspace, self._shell.front
        shown = front.result if front is not None else None
        unfinished = [
            each for each in workspace.unfinished if each.recorded and not each.recorded.outdated
        ]
        here = [each for each in unfinished if shown is not None and each.id == shown.id]
        if self._on and unfinished:
            result = (here or unfinished)[-1]
            self._session, self._step = None, result.id
            self._say(_words(result))

    def _say(self, words: str) -> None:
        self._workspace.offer = words
        self._shell.bring_up_to_date()

    def heard(self, key: str) -> bool:
        """Take a key: whether it was the answer. Any other takes the line away and does its work.

        Args:
            key: as Textual names it.
        """
        self._touched = True
        if not self._workspace.offer:
            return False
        self._workspace.offer = ""
        self._shell.bring_up_to_date()
        if key == "enter":
            with self._shell.said():
                if self._session is not None:
                    self._runs.take(self._session)
                self._runs.resume(self._step)
        return key == "enter"


def _words(result: Result) -> str:
    return how_far(result.step, result.state, result.done, result.expected)
