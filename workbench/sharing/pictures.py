"""Pictures of the screens that a session's steps replay on, drawn without a terminal."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from analysis.errors import Cancelled, WorkbenchError
from analysis.tasks.standard import task
from sessions import Session
from workbench.terminal import portable

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from workbench.app import WorkbenchApp
    from workbench.settings import Settings


SIZE = (100, 30)
"""Columns and rows of the terminal that is drawn."""
_PAUSE = 0.1
"""Seconds between two looks at a screen; one that has not changed meanwhile is drawn."""
_LOOKS = 50
_ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "TEXTUAL_ANIMATIONS": "none"}


def draw(
    session: Session,
    ids: Collection[str],
    folder: Path,
    settings: Settings,
    progress: Callable[[int, int], None] = lambda done, expected: None,
) -> None:
    """Write the screen of each step as an SVG named like the step.

    Args:
        session: what is replayed.
        ids: steps to draw, as `003-cna`.
        folder: where to.
        settings: whose theme the screens wear.
        progress: called with the pictures that are drawn, and how many there will be.
    """
    os.environ.update(_ENVIRONMENT)  # Textual reads them when it is imported
    os.environ.pop("NO_COLOR", None)

    async def write() -> None:
        done = 0
        async for id, picture in _pictures(session, ids, settings):
            (folder / f"{id}.svg").write_text(picture, "utf-8")
            done += 1
            progress(done, len(ids))

    asyncio.run(write())


async def _pictures(
    session: Session, ids: Collection[str], settings: Settings
) -> AsyncIterator[tuple[str, str]]:
    from screens.workspace import Workspace
    from workbench.app import WorkbenchApp

    class Posing(WorkbenchApp):
        """Tells whether one of its kind was asked to leave, as they are by signals."""

        left: ClassVar[bool] = False

        def exit(self, *arguments: Any, **named: Any) -> None:
            type(self).left = True  # it may come when this one is gone already
            super().exit(*arguments, **named)

    title = f"workbench replay {session.address}"
    workspace = Workspace(task("add1", shots=2), readonly=True)
    workspace.replay(session)
    for place, result in enumerate(workspace.results):
        if result.name in ids:
            workspace.replay_place = place
            app = Posing(workspace, settings)  # afresh: nothing is left of the step before
            try:
                picture = await _drawn(app, title, result.name)
            except WorkbenchError:
                if not Posing.left:
                    raise
            if Posing.left:
                raise Cancelled("a signal asked to stop")
            yield result.name, portable(picture, result.name)


async def _drawn(app: WorkbenchApp, title: str, id: str) -> str:
    """The screen that an application begins with.

    Raises:
        WorkbenchError: the screen failed.
    """
    app.error_console.quiet = True  # it would tell the whole story on stderr
    try:
        async with app.run_test(size=SIZE) as pilot:
            return await _settled(pilot, title)
    except Exception as error:
        logging.getLogger(__name__).error("picture of %s", id, exc_info=error)
        reason = f"{type(error).__name__}: {error}"
        raise WorkbenchError(
            f"the screen of {id} cannot be drawn ({reason}); --no-pictures leaves them out"
        ) from error


async def _settled(pilot: Pilot[None], title: str) -> str:
    """The screen as SVG, once it has stopped changing."""
    picture = ""
    for _ in range(_LOOKS):
        await pilot.pause(_PAUSE)
        before, picture = picture, pilot.app.export_screenshot(title=title)
        if picture == before:
            break
    return picture
