"""How far long work is between two of its frames, for whoever waits for the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[float, str], object]
"""Takes how many rows' worth of the frame under way is done, and what is being done in words."""

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have the work done inside this block tell `listener` how far it is."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(rows: float, words: str) -> None:
    """Called now and then by work whose frames take long.

    Args:
        rows: the share that is done of the frame under way, times the rows it will have.
        words: what is being done.
    """
    if (listener := _listener.get()) is not None:
        listener(rows, words)
