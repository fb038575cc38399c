"""The terminal a program runs in: its keys, ending in order when it goes."""

from __future__ import annotations

import asyncio
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

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
