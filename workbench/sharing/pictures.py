"""Pictures of the screens a session's steps replay on, drawn without a terminal."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.tasks import task
from sessions import Session

if TYPE_CHECKING:
    from textual.pilot import Pilot

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
        progress: told how many pictures are drawn of how many.
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

    title = f"workbench replay {session.address}"
    workspace = Workspace(task("add1", shots=2), readonly=True)
    workspace.replay(session)
    for place, result in enumerate(workspace.results):
        if result.id in ids:
            workspace.replay_place = place
            app = WorkbenchApp(workspace, settings)  # afresh: nothing is left of the step before
            async with app.run_test(size=SIZE) as pilot:
                yield result.id, portable(await _settled(pilot, title), result.id)


async def _settled(pilot: Pilot[None], title: str) -> str:
    """The screen as SVG, once it has stopped changing."""
    picture = ""
    for _ in range(_LOOKS):
        await pilot.pause(_PAUSE)
        before, picture = picture, pilot.app.export_screenshot(title=title)
        if picture == before:
            break
    return picture


def portable(svg: str, name: str) -> str:
    """An SVG that fetches nothing: in the reader's own monospace font, its names always the same.

    Args:
        svg: as Textual exports it.
        name: tells its names from those of other pictures on a page.
    """
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    svg = re.sub(r"terminal-\d+", f"workbench-{name}", svg)
    return svg.replace("Fira Code", "ui-monospace")
