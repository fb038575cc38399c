"""Long work and whoever waits for it: how far it is, and whether it should stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias, TypeVar

from analysis.errors import Cancelled

Listener: TypeAlias = Callable[[float | None, str], object]
"""Takes how many rows' worth of the frame under way is done, and what is being done in words."""
_within: ContextVar[str] = ContextVar("progress_within", default="")
T = TypeVar("T")

_listener: ContextVar[Listener | None] = ContextVar("progress_listener", default=None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Have the work done inside this block tell `listener` how far it is."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def tell(rows: float | None, words: str) -> None:
    """Called now and then by work whose frames take long, and by what comes before the first.

    Args:
        rows: the share that is done of the frame under way, times the rows it will have; None:
            no more than was told last.
        words: what is being done.
    """
    if (listener := _listener.get()) is not None:
        listener(rows, ": ".join(each for each in (_within.get(), words) if each))


@contextmanager
def within(words: str) -> Iterator[None]:
    """Have what is told inside this block begin with what it is a part of, as `case 3 of 36`."""
    token = _within.set(words)
    try:
        tell(None, "")
        yield
    finally:
        _within.reset(token)


def told(items: Iterable[T], words: str) -> Iterator[T]:
    """The items of long work one by one: it can be stopped before each, and tells of it.

    Args:
        items: what is to be done; all of them are known before the first is begun.
        words: what is being done, as `intact runs`.
    """
    every = list(items)
    for place, item in enumerate(every, start=1):
        checkpoint()
        tell(None, words if len(every) == 1 else f"{words} {place:,} of {len(every):,}")
        yield item


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
