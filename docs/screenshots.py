"""Makes the pictures of the documentation by replaying the examples: `make screenshots`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

os.environ.update(TERM="xterm-256color", COLORTERM="truecolor", TEXTUAL_ANIMATIONS="none")
os.environ["XDG_CONFIG_HOME"] = "/home/you/.config"  # no picture names a real machine

from analysis.changes import Changes
from analysis.folders import write_durably
from analysis.tasks.standard import task
from screens.themes import DARK, LIGHT
from screens.workspace import Workspace
from sessions import Session
from workbench.app import WorkbenchApp
from workbench.settings import Settings
from workbench.terminal import portable

IMAGES = Path(__file__).parent / "images"
SIZE = (96, 26)
NEXT = "right_square_bracket"
LIGHT_TOO = ("prompts", "heads", "change", "settings", "palette", "patch")
"""Pictures that are there in the light theme as well."""
PICTURES = {
    "heads": ("addition", ("b",)),
    "neurons": ("addition", (NEXT,)),
    "tokens": ("addition", (NEXT, NEXT)),
    "prompts": ("addition", ("1",)),
    "change": ("addition", ("6",)),
    "settings": ("addition", ("comma", "down")),
    "palette": ("addition", ("colon", *"neur")),
    "patch": ("ioi", ("left_curly_bracket", "b")),
    "edges": ("ioi", (NEXT, NEXT)),
    "attention": ("ioi", (NEXT,) * 6),
    "direct": ("ioi", (NEXT,) * 8),
    "corpus": ("ioi", ("right_curly_bracket",)),
    "chain": ("paper", ("5",)),
    "paper": ("paper", ("8", *["j"] * 4)),
}
"""For each picture the example it shows, and the keys that lead there."""


async def main() -> None:
    """Write every picture."""
    IMAGES.mkdir(exist_ok=True)
    for name, (example, keys) in PICTURES.items():
        await draw(name, example, keys, DARK.name)
        if name in LIGHT_TOO:
            await draw(f"{name}-light", example, keys, LIGHT.name)


async def draw(name: str, example: str, keys: tuple[str, ...], theme: str) -> None:
    """Write one picture: an example in a theme, after some keys."""
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(Session.open(f"example:{example}"))
    app = WorkbenchApp(workspace, Settings(theme=theme))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.5)
        if keys == ("6",):  # as it looks live: a replay stages nothing
            workspace.replaying = False
            workspace.model = workspace.results[0].model
            workspace.staged.put(Changes.parse(["L20H8", "L24N1493=0.5"]))
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.3)
        save(app, name, example)


def save(app: WorkbenchApp, name: str, example: str) -> None:
    """Write the screen as SVG."""
    picture = app.export_screenshot(title=f"workbench replay example:{example}")
    write_durably(IMAGES / f"{name}.svg", portable(picture, name).encode())
    print(f"docs/images/{name}.svg")


if __name__ == "__main__":
    asyncio.run(main())
