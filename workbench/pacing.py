"""Telling of rows at a pace that a screen can follow."""

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
