"""Telling of rows, and of work between them, at a pace that a screen can follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import polars as pl

from sessions import Rows

TELL_EVERY = 0.1
"""Seconds between two tellings."""


class Pacer:
    """Gathers batches so that at most ten tellings a second leave, and none waits for a next batch.

    The first batch is told at once; what comes too soon after it is told together by a timer when
    its time has come, even if the step computes for minutes before it yields again.

    Args:
        tell: called with the rows gathered and the last of their updates, never twice at once.
    """

    def __init__(self, tell: Callable[[pl.DataFrame, Rows], object]) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._waiting: list[Rows] = []
        self._timer: threading.Timer | None = None
        self._told = float("-inf")

    def add(self, rows: Rows) -> None:
        """Take a batch; it is told now or within the interval."""
        with self._lock:
            self._waiting.append(rows)
            delay = self._told + TELL_EVERY - time.monotonic()
            if delay <= 0:
                self._tell_waiting()
            elif self._timer is None:
                self._timer = threading.Timer(delay, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Tell what waits."""
        with self._lock:
            if self._waiting:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        rows, self._waiting = self._waiting, []
        self._told = time.monotonic()
        self._tell(pl.concat([each.frame for each in rows]), rows[-1])


class Meter:
    """How long a step will still take, from the pace of this run, frames under way included.

    Args:
        tell: called at most ten times a second with how many rows' worth of the frame under way is
            done, what is being done, and the seconds left; None if nobody knows yet.
    """

    def __init__(self, tell: Callable[[float, str, float | None], object]) -> None:
        self._tell = tell
        self._begun = self._told = time.monotonic()
        self._before = self._done = self._expected = 0

    def start(self, done: int, expected: int) -> None:
        """The step begins, with rows that are there from before."""
        self._begun = time.monotonic()
        self._before = self._done = done
        self._expected = expected

    def add(self, rows: Rows) -> None:
        """A frame is finished."""
        self._done = rows.done

    def heard(self, rows: float, words: str) -> None:
        """Take how far the frame under way is."""
        now = time.monotonic()
        if now - self._told < TELL_EVERY:
            return
        self._told = now
        made = self._done - self._before + rows
        left = (now - self._begun) / made * (self._expected - self._done - rows) if made else None
        self._tell(rows, words, left)
