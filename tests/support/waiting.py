"""Waiting for what another thread or process does: patiently, and no longer than needed."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

PATIENCE = 90
"""Seconds after which something that should happen counts as not happening."""


def until(happened: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def until_seen(process: subprocess.Popen[str], happened: Callable[[], object]) -> None:
    """Wait until a process that goes on running has done something."""

    def seen() -> object:
        assert process.poll() is None, process.communicate()
        return happened()

    until(seen)
