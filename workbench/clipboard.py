"""Copied text: into tmux's buffer, to the terminal's clipboard, or where it can be selected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from textual.app import App

from analysis.errors import WorkbenchError
from analysis.folders import write_durably
from screens.overlays import SelectableText
from workbench.health import deaf_terminal, home_short, in_tmux
from workbench.paths import state_dir

PATIENCE = 2.0
"""Seconds that tmux has to take a text."""


class Clipboard:
    """Puts one text after the other where it can be pasted from, and says where that is.

    Nothing waits for it: the screens go on meanwhile.

    Args:
        app: what says it, and shows what can only be selected.
        send: sends the terminal a text by OSC 52.
    """

    def __init__(self, app: App[Any], send: Callable[[str], None]) -> None:
        self._app, self._send = app, send
        self._one_at_a_time = asyncio.Lock()

    def put(self, text: str, what: str) -> None:
        """Copy a text.

        Args:
            text: it.
            what: what it is, for the notice.
        """
        self._app.run_worker(self._put(text, what))

    async def _put(self, text: str, what: str) -> None:
        async with self._one_at_a_time:
            if in_tmux() and await _taken_by_tmux(text):
                self._app.notify(f"Copied {what} to tmux's buffer.")
                return
            file = await asyncio.to_thread(_kept, text)
            if (deaf := deaf_terminal()) is not None:
                self._app.push_screen(SelectableText(text, what, deaf, file))
                return
            self._send(text)
            words = f"Sent {what} to the terminal's clipboard (OSC 52)"
            self._app.notify(f"{words}; also in {file}" if file else words)


async def _taken_by_tmux(text: str) -> bool:
    """Whether tmux took a text; one that can also hands it to the terminal around it (-w)."""
    for options in (("-w",), ()):  # before 3.2 it knew no -w
        if await _loaded(options, text.encode()):
            return True
    return False


async def _loaded(options: tuple[str, ...], data: bytes) -> bool:
    quiet = asyncio.subprocess.DEVNULL
    try:
        tmux = await asyncio.create_subprocess_exec(
            *("tmux", "load-buffer", *options, "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=quiet,
            stderr=quiet,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(tmux.communicate(data), PATIENCE)
    except TimeoutError:
        with suppress(ProcessLookupError):
            tmux.kill()
        await tmux.wait()
    return tmux.returncode == 0


def _kept(text: str) -> str | None:
    """Write copied text to a file too; says where, or None: it could not be written."""
    file = state_dir() / "copied.tsv"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(file, text.encode())
    except (OSError, WorkbenchError):
        return None
    return home_short(file)
