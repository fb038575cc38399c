"""Remembering how each result was looked at, in the session while it is held for writing."""

from __future__ import annotations

import logging
from dataclasses import replace

from analysis.errors import WorkbenchError
from screens.messages import ResultLeft
from screens.workspace import Workspace
from sessions import write_view

log = logging.getLogger(__name__)


class Views:
    """Keeps what screens tell when they turn to something else, and writes what has changed.

    A replay is looked at without a trace, and so is everything where the workbench is read-only.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._unwritten: set[int] = set()
        """Numbers of results, some of them without a place in a session yet."""

    def keep(self, left: ResultLeft | None) -> None:
        """Keep how a result was looked at, and write what can be written."""
        workspace = self._workspace
        result = None if left is None else workspace.numbered(left.number)
        if left is None or result is None or workspace.replaying:
            return
        if result.view != left.view:
            workspace.put(replace(result, view=left.view))
            self._unwritten.add(result.number)
        self._write()

    def _write(self) -> None:
        session = self._workspace.session
        if session is None or not session.writable or self._workspace.readonly:
            return
        for number in list(self._unwritten):
            result = self._workspace.numbered(number)
            if result is not None and not result.placed:
                continue
            self._unwritten.discard(number)
            if result is not None:
                try:
                    write_view(session, result.id, result.view)
                except WorkbenchError as error:  # a convenience is not worth a message
                    log.warning("the view of %s is not kept: %s", result.id, error)
