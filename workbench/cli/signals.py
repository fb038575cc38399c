"""Signals that ask a long command to stop, taken as Ctrl-C is: what is finished is kept."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
