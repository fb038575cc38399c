"""The recorded sessions: notes on them, their names, and how their results were looked at."""

from __future__ import annotations

import logging
from dataclasses import replace

from analysis.errors import WorkbenchError
from analysis.tasks.prompts import escaped, unescaped
from screens.dialogs import Ask
from screens.messages import NoteRequested, ResultLeft
from screens.workspace import Workspace
from sessions import Session, other_writer, remove_session, rename_session, write_view
from workbench.shell import Shell

log = logging.getLogger(__name__)


class Library:
    """Changes what belongs to sessions beside their rows. Nothing here runs a model.

    Args:
        shell: the program.
        workspace: whose session is at hand.
    """

    def __init__(self, shell: Shell, workspace: Workspace) -> None:
        self._shell = shell
        self._workspace = workspace
        self._unwritten: set[str] = set()
        """Ids of results whose views are to be written, some of them without a record yet."""

    def rename(self, name: str, new: str) -> None:
        """Give a session another name."""
        with self._shell.said():
            rename_session(name, new)
        self._shell.look_again()

    def remove(self, name: str) -> None:
        """Delete a session."""
        with self._shell.said():
            remove_session(name)
        self._shell.look_again()

    def ask_note(self, wanted: NoteRequested) -> None:
        """Ask for a note and put it where it belongs; what could not be kept is not asked for."""
        if self._workspace.readonly:
            self._shell.notify("The workbench is read-only: nothing is noted.", severity="warning")
            return
        with self._shell.said():
            session = self._session(wanted.session)
            if session is None:
                return
            writer = None if session.writable else other_writer(session.folder)
            if writer is not None:
                words = f"{writer} writes it: notes wait until that ends."
                self._shell.notify(words, severity="warning")
                return
            recorded = None if wanted.step is None else session.step(wanted.step)
            before = session.info.note if recorded is None else recorded.info.note
            of = "session " + session.name if recorded is None else recorded.id
            hint = r"\n is a line end; empty takes it away"
            self._shell.push_screen(
                Ask(
                    f"Note on {of}",
                    escaped(before),
                    hint,
                    check=lambda text: self._note(session, wanted.step, text),
                    escapes=True,
                    typed=self._workspace.typed[f"note {session.address}"],
                )
            )

    def _session(self, name: str | None) -> Session | None:
        """A session by its name, the one at hand where that is it: it may be held for writing."""
        here = self._workspace.session
        return here if name is None or (here and here.address == name) else Session.open(name)

    def _note(self, session: Session, step: str | None, text: str) -> None:
        session.note(unescaped(text), step)
        if step is not None:
            recorded = session.step(step)
            result = self._workspace.find(recorded.address)
            if result is not None:
                self._workspace.put(replace(result, note=recorded.info.note))
        self._shell.look_again()

    def keep_view(self, left: ResultLeft | None) -> None:
        """Keep how a result was looked at, and write what can be written.

        A replay is looked at without a trace, and so is all where the workbench is read-only.
        """
        workspace = self._workspace
        result = None if left is None else workspace.find(left.result_id)
        if left is None or result is None or workspace.replaying:
            return
        if result.view != left.view:
            workspace.put(replace(result, view=left.view))
            self._unwritten.add(result.id)
        self._write_views()

    def _write_views(self) -> None:
        session = self._workspace.session
        if session is None or not session.writable or self._workspace.readonly:
            return
        for id in list(self._unwritten):
            result = self._workspace.find(id)
            if result is not None and result.recorded is None:
                continue
            self._unwritten.discard(id)
            if result is not None and result.recorded is not None:
                try:
                    write_view(session, result.recorded.id, result.view)
                except WorkbenchError as error:  # a convenience is not worth a message
                    log.warning("the view of %s is not kept: %s", result.name, error)
