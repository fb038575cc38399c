"""Stopping long work from outside: a flag the work looks at between its parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from analysis.errors import Cancelled

_flag: ContextVar[threading.Event | None] = ContextVar("stop_flag", default=None)


@contextmanager
def cancellable(flag: threading.Event) -> Iterator[None]:
    """Let `flag` stop the work done inside this block."""
    token = _flag.set(flag)
    try:
        yield
    finally:
        _flag.reset(token)


def checkpoint() -> None:
    """Called by long work several times a second.

    Raises:
        Cancelled: somebody asked for the work to stop.
    """
    flag = _flag.get()
    if flag is not None and flag.is_set():
        raise Cancelled("stopped")
