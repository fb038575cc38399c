"""Makes the pictures of the documentation by replaying the example session: `make screenshots`."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TEXTUAL_ANIMATIONS="none")

from analysis.tasks import task
from screens.workspace import Workspace
from sessions import Session
from workbench.app import WorkbenchApp
from workbench.settings import Settings

IMAGES = Path(__file__).parent / "images"
SIZE = (96, 26)
STEPS = ("heads", "neurons", "tokens")


async def main() -> None:
    """One picture for each kind of step in the example."""
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(Session.open("example:addition"))
    app = WorkbenchApp(workspace, Settings())
    IMAGES.mkdir(exist_ok=True)
    async with app.run_test(size=SIZE) as pilot:
        for name in STEPS:
            await pilot.pause(0.5)
            if name == "heads":
                await pilot.press("b")
                await pilot.pause(0.2)
            save(app, name)
            await pilot.press("right_square_bracket")
        await pilot.press("1")
        await pilot.pause(0.5)
        save(app, "prompts")


def save(app: WorkbenchApp, name: str) -> None:
    """Write the screen as SVG, with the reader's own monospace font instead of a fetched one."""
    picture = app.export_screenshot(title="workbench replay example:addition")
    picture = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", picture)
    picture = re.sub(r"terminal-\d+", f"workbench-{name}", picture)
    (IMAGES / f"{name}.svg").write_text(picture.replace("Fira Code", "ui-monospace"), "utf-8")
    print(f"docs/images/{name}.svg")


if __name__ == "__main__":
    asyncio.run(main())
