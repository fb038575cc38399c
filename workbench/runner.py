"""Opening models and recording steps: what the command line and the job thread both do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sessions import Session

if TYPE_CHECKING:
    from analysis.model.model import Model
    from workbench.settings import Settings


def open_model(settings: Settings, progress: Callable[[str], None]) -> Model:
    """Find, fetch where needed, and load the model the settings name.

    Raises:
        InputError: there is no such model, or it cannot be used.
        WorkbenchError: it could not be fetched or loaded.
    """
    from workbench.logs import quiet_libraries
    from workbench.models import resolve, snapshot

    resolved = resolve(settings.model, progress)
    revision = resolved.revision
    folder = resolved.location
    if isinstance(folder, str):
        folder, revision = snapshot(folder, revision, progress)
    progress("importing torch and transformers")
    with quiet_libraries():
        from analysis.model.loading import load_model

        return load_model(
            folder,
            name=resolved.name,
            source=resolved.source,
            revision=revision,
            dtype=settings.dtype,
            bits=settings.bits,
            device=settings.device,
            adapter=settings.adapter,
            ignore_unused=settings.ignore_unused,
            progress=progress,
        )


def discard_if_empty(session: Session) -> None:
    """Remove a session that was begun for a step which never started."""
    from sessions import remove_session

    empty = not session.steps
    session.close()
    if empty:
        remove_session(session.name)
