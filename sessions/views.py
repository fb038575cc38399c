"""How a step was looked at: what was under the cursor, marked, sorted by, filtered.

A view is a convenience and no measurement. One that is missing or cannot be read is an empty one,
and whoever shows it takes from it only what fits the rows.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from sessions.documents import Document
from sessions.files import Unreadable
from sessions.recorded import RecordedStep
from sessions.session import Session

VIEW_FILE = "view.json"

View: TypeAlias = dict[str, Any]
"""JSON by names that the screen which made it understands."""


class _ViewDocument(Document):
    view: View


def read_view(step: RecordedStep) -> View:
    """How a step was looked at last; empty if nobody knows."""
    try:
        return _ViewDocument.read(step.folder / VIEW_FILE).view
    except Unreadable:
        return {}


def write_view(session: Session, step_id: str, view: View) -> None:
    """Keep a view beside the rows it is of.

    Raises:
        InputError: there is no such step.
        WorkbenchError: the session is not open for writing, or the system refused.
    """
    session.require_writable()
    _ViewDocument(view=view).write(session.step(step_id).folder / VIEW_FILE)
