"""The terminal UI timed from outside, as a user's terminal sees it: first paint, keys, bytes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from analysis.errors import WorkbenchError

SIZE = (80, 24)
PATIENCE = 60.0
"""Seconds until something awaited counts as not coming."""
QUIET = 0.15
"""Seconds without output after which a repaint is over."""
WATCHED = 3.0
"""Seconds of a running sweep over which the bytes it draws are counted."""
_PAINTED = "Prompts"
_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[@-Z\\-_]")


class Seen:
    """A workbench in a terminal of its own, and what it has drawn."""

    def __init__(self, outside: int) -> None:
        self._outside = outside
        self.bytes = 0
        self._text = ""

    def until(self, there: Callable[[str], bool]) -> float:
        """Read until what is drawn from now on contains something; gives the seconds it took."""
        begun = time.perf_counter()
        self._text = ""
        while not there(self._text):
            left = PATIENCE - (time.perf_counter() - begun)
            if left <= 0 or not self._read(left):
                raise WorkbenchError("the terminal UI did not draw what the benchmark waits for")
        return time.perf_counter() - begun

    def press(self, key: str) -> None:
        """Send a key."""
        os.write(self._outside, key.encode())

    def settle(self) -> int:
        """Read until nothing more comes; gives the bytes of it."""
        before = self.bytes
        while self._read(QUIET):
            pass
        return self.bytes - before

    def during(self, seconds: float) -> int:
        """Read for so long; gives the bytes of it."""
        before, end = self.bytes, time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self._read(left)
        return self.bytes - before

    def _read(self, timeout: float) -> bool:
        if not select.select([self._outside], [], [], timeout)[0]:
            return False
        part = os.read(self._outside, 65_536)
        self.bytes += len(part)
        self._text += _ESCAPES.sub(b"", part).decode("utf-8", "replace")
        return bool(part)


@contextmanager
def terminal(*arguments: str) -> Iterator[Seen]:
    """The workbench in a terminal of 80 × 24 with places of its own on disk; ended with it."""
    outside, inside = pty.openpty()
    columns, rows = SIZE
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        state.mkdir()
        (state / "guided").touch()
        own = {"WORKBENCH_DATA": folder, "WORKBENCH_STATE": str(state)}
        environment = {**os.environ, **own, "TERM": "xterm-256color", "SSH_CONNECTION": "bench"}
        process = subprocess.Popen(
            [sys.executable, "-m", "workbench", *arguments],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environment,
            start_new_session=True,
        )
        os.close(inside)
        try:
            yield Seen(outside)
        finally:
            process.kill()
            process.wait()
            os.close(outside)


def bench_ui(
    model: tuple[str, ...], repeats: int, tell: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Time the terminal UI.

    Args:
        model: options that name the model, as on the command line.
        repeats: starts, and keys of each kind.
        tell: called with what is being measured, how much is done, and of how much.

    Returns:
        Seconds and bytes: `first_paint` of a replay and of a live workbench, and `keys` answered
        by each, the live one with a sweep running.
    """
    tell("first paint", 0, 3)
    replay = ("replay", "example:addition")
    report: dict[str, Any] = {
        "size": list(SIZE),
        "first_paint": {
            "replay": _spread([_first_paint(*replay) for _ in range(repeats)]),
            "live": _spread([_first_paint(*model) for _ in range(repeats)]),
        },
    }
    tell("keys", 1, 3)
    with terminal(*replay) as seen:
        seen.until(lambda text: _PAINTED in text)
        seen.settle()
        report["keys"] = {"replay": _keys(seen, repeats)}
    tell("keys while a sweep runs", 2, 3)
    with terminal(*model) as seen:
        seen.until(lambda text: "says" in text)
        seen.press("r")
        seen.until(lambda text: "zeroing" in text)  # a small model may be done before time is left
        report["keys"]["live, sweeping"] = _keys(seen, repeats, settle=False)
        report["bytes_a_second_sweeping"] = seen.during(WATCHED) / WATCHED
    return report


def _first_paint(*arguments: str) -> float:
    with terminal(*arguments) as seen:
        return seen.until(lambda text: _PAINTED in text)


def _keys(seen: Seen, repeats: int, settle: bool = True) -> dict[str, Any]:
    """Walk down the map of heads and up again; a key is answered when the head's name is drawn."""
    walk = [("j", head) for head in range(1, 9)] + [("k", head) for head in range(7, -1, -1)]
    seconds, sizes = [], []
    seen.press("g")  # the walk begins at the first head, wherever the cursor was left
    if settle:
        seen.settle()
    for key, head in islice(cycle(walk), repeats):
        before = seen.bytes
        seen.press(key)
        seconds.append(seen.until(partial(_tells_of, f"L0H{head}")))
        if settle:
            seen.settle()
            sizes.append(seen.bytes - before)
    return {**_spread(seconds), "bytes": statistics.median(sizes) if sizes else None}


def _tells_of(name: str, text: str) -> bool:
    return name in text


def _spread(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": statistics.median(ordered),
        "worst_of_20": ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))],
    }
