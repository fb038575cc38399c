"""How far long work is between two of its frames, for whoever waits for the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Listener: TypeAlias = Callable[[float, str], object]
"""Takes the share of the frame under way that is done, 0 to 1, and what it is doing in words."""

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have the work done inside this block tell `listener` how far it is."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(share: float, words: str) -> None:
    """Called now and then by work whose frames take long."""
    if (listener := _listener.get()) is not None:
        listener(share, words)
