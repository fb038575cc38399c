"""The terminal the application runs in: leaving when it goes, text that is to leave it."""

from __future__ import annotations

import asyncio
import select
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual.widgets import Input

from workbench.paths import state_dir

if TYPE_CHECKING:
    from textual.app import App
    from textual.events import Key
    from textual.widget import Widget

_AFTER_ESCAPE = dict(zip("¡™£¢∞§¶•", "12345678", strict=True))
"""What Textual reads where a terminal sends escape and a digit at once: as a Mac's option key."""


def key_after_escape(event: Key, focused: Widget | None) -> str | None:
    """The letter or digit that came with escape at once; None: it is a key like all others."""
    char = event.character or ""
    if event.key.startswith("alt+") and len(char) == 1:
        return char
    return None if isinstance(focused, Input) else _AFTER_ESCAPE.get(char)


def leave_with_the_terminal(app: App[Any]) -> None:
    """End the program in order when its connection drops: what is finished is on disk."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(number, app.exit)
    if sys.stdin is not None and sys.stdin.isatty():
        app.set_interval(1.0, lambda: app.exit() if _hung_up() else None)


def _hung_up() -> bool:
    """Whether the other side of the terminal is gone, where no signal said so."""
    poll = select.poll()
    poll.register(sys.stdin.fileno(), 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


def kept(text: str) -> str:
    """Write copied text to a file too, for terminals that take nothing from programs.

    Returns:
        Words that say where.
    """
    file = state_dir() / "copied.tsv"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    except OSError as error:
        return f"; it could not be kept in a file: {error.strerror}"
    return f"; also in {str(file).replace(str(Path.home()), '~', 1)}"
