"""The terminal a program runs in: ending in order when it goes, what is to leave it."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from analysis.errors import WorkbenchError
from analysis.folders import write_durably
from workbench.paths import state_dir

if TYPE_CHECKING:
    from textual.app import App


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


def portable(svg: str, name: str) -> str:
    """An SVG that fetches nothing: in the reader's own monospace font, its names always the same.

    Args:
        svg: as Textual exports it.
        name: tells its names from those of other pictures on a page.
    """
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    svg = re.sub(r"terminal-\d+", f"workbench-{name}", svg)
    return svg.replace("Fira Code", "ui-monospace")


def kept(text: str) -> str:
    """Write copied text to a file too, for terminals that take nothing from programs.

    Returns:
        Words that say where.
    """
    file = state_dir() / "copied.tsv"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_durably(file, text.encode())
    except (OSError, WorkbenchError) as error:
        return f"; it could not be kept in a file: {error}"
    return f"; also in {str(file).replace(str(Path.home()), '~', 1)}"


_NAMES = ("SIGTERM", "SIGHUP")
"""What batch systems and closing terminals send."""


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Let the first such signal interrupt the block; later ones must not disturb its tidying up.

    A signal that is ignored stays so: `nohup` means that.
    """
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in numbers}
    heeded = [each for each, handler in before.items() if handler != signal.SIG_IGN]

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    for each in heeded:
        signal.signal(each, interrupt)
    try:
        yield
    finally:
        for each in heeded:
            signal.signal(each, before[each])
