"""Driving the terminal application in a test."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import polars as pl
import textual.app
import textual.pilot
from rich.text import Text
from textual._context import active_app
from textual.events import Key
from textual.notifications import Notification
from textual.pilot import Pilot
from textual.widgets import Input, Static, TextArea
from waiting import PATIENCE

from screens.widgets.frame_table import FrameTable
from screens.workspace import Result
from workbench.app import WorkbenchApp


async def idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Wait until the application has nothing left to do or to paint, or so many seconds.

    Textual guesses it from the CPU time of the process, several times a key: that takes longer
    than the key itself, and a thread that computes looks like an application that is busy.
    """
    loop, app = asyncio.get_running_loop(), active_app.get()
    deadline = time.monotonic() + max_sleep
    await asyncio.sleep(min_sleep)
    while time.monotonic() < deadline:
        await asyncio.sleep(0)
        if loop._ready:
            continue
        # What waits for the next frame is done at once.
        screen = app.screen if app.is_running and app.screen_stack else None
        if screen is not None and app._resize_event is not None:
            app._check_resize()
        elif screen is not None and (screen._update_timer._active.is_set() or screen._callbacks):
            screen._on_timer_update()
        else:
            break


textual.app.wait_for_idle = textual.pilot.wait_for_idle = idle


class Driver:
    """A running application with the hands of a user and the eyes of a test."""

    def __init__(self, app: WorkbenchApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys one after the other and let their messages through."""
        for key in keys:
            await self.app._press_keys([key])

    async def type(self, text: str) -> None:
        """Type into the field that has the focus, in place of what stood there."""
        field = self.app.focused
        assert isinstance(field, Input | TextArea)
        if isinstance(field, Input):
            field.value = ""
        else:
            field.text = ""
        await self.write(text)

    async def write(self, text: str) -> None:
        """Press the keys of a text as fast as one can, where nothing happens between them."""
        for char in text:
            self.app.post_message(Key(_KEYS.get(char, char), char))
        await self.pilot.pause()

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            await asyncio.sleep(0.01)
        await self.pilot.pause()

    async def settled(self) -> None:
        """Wait until the model is there and nothing is being computed."""
        await self.until(lambda: self.workspace.model is not None and not self.workspace.running)

    @property
    def workspace(self):
        return self.app.workspace

    @property
    def here(self) -> str:
        """The screen in front: its own name, or the class of a dialog."""
        screen = self.app.screen
        return getattr(screen, "NAME", type(screen).__name__)

    @property
    def result(self) -> Result:
        """What the screen in front shows."""
        result = self.app.screen.result
        assert result is not None
        return result

    @property
    def table(self) -> FrameTable:
        """The table of the screen in front."""
        return self.app.screen.table

    def text(self, selector: str) -> str:
        """The words in a static widget of the screen in front."""
        content = self.app.screen.query_one(selector, Static).content
        return content.plain if isinstance(content, Text) else str(content)

    def line(self, widget: type) -> str:
        """The words of a one-line widget of the screen in front."""
        return self.app.screen.query_one(widget).render_line(0).text.strip()

    @property
    def notices(self) -> list[str]:
        """What the application has said in its notices."""
        return [each.message for each in self.said]

    @property
    def said(self) -> list[Notification]:
        """The notices still in sight."""
        return list(self.app._notifications)

    @property
    def seen(self) -> str:
        """All that is on the screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text for strip in strips)


@asynccontextmanager
async def driving(app: WorkbenchApp, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Driver]:
    """Run an application without a terminal, and end its job thread with it."""
    async with app.run_test(size=size, notifications=True) as pilot:
        try:
            await pilot.pause()
            yield Driver(app, pilot)
        finally:
            app.close_jobs()


class Gate:
    """Lets the batches of a sweep through one at a time."""

    def __init__(self) -> None:
        self._let = threading.Semaphore(0)
        self.open = False

    def let(self, batches: int) -> None:
        """Let so many more batches through."""
        self._let.release(batches)

    def let_all(self) -> None:
        """Hold nothing back any more."""
        self.open = True

    def wait(self) -> None:
        """Called by the sweep for each batch; a stop gets through at once."""
        from analysis.progress import checkpoint

        while not (self.open or self._let.acquire(timeout=0.01)):
            checkpoint()


def staged_names(user) -> list[str]:
    table = user.app.screen.query_one("#staged", FrameTable)
    return table.copied(True)["name"].to_list()


def rows_by_name(frame: pl.DataFrame) -> dict[str, dict]:
    """Rows of a frame by their name."""
    return {row["name"]: row for row in frame.to_dicts()}


_KEYS = {
    " ": "space",
    "\\": "backslash",
    "+": "plus",
    "-": "minus",
    "=": "equals_sign",
    "/": "slash",
    ".": "full_stop",
    "_": "underscore",
    ",": "comma",
    ":": "colon",
    ">": "greater_than_sign",
}
