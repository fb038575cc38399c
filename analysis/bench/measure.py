"""Seconds and peak memory of a piece of work, measured alike for everything that is compared."""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil
import torch


@dataclass
class Measured:
    """One measurement; its figures are final when the block that took it has ended."""

    seconds: float = 0.0
    peak_mb: float = 0.0
    """Most memory in use beyond what was in use before."""
    begun: float = field(default_factory=lambda: time.perf_counter())

    def so_far(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.begun


@contextmanager
def clocked(device: torch.device) -> Iterator[Measured]:
    """Take the time of the block: the clock is read when the device has nothing left to do."""
    if device.type == "cuda":
        _synchronise()
    result = Measured()
    yield result
    if device.type == "cuda":
        _synchronise()
    result.seconds = result.so_far()


@contextmanager
def measured(device: torch.device) -> Iterator[Measured]:
    """Take the time of the block and the most memory it needs.

    On a GPU memory is what torch allocated there, on the CPU what the process occupies: whatever
    earlier work has freed is handed back first, or later work would use it again unseen.
    """
    gc.collect()
    peak = _cuda_peak() if device.type == "cuda" else _process_peak()
    with peak as memory, clocked(device) as result:
        yield result
    result.peak_mb = memory.mb


class _Peak:
    """Megabytes; final when its block has ended."""

    mb = 0.0


def _synchronise() -> None:
    for index in range(torch.cuda.device_count()):
        torch.cuda.synchronize(index)


@contextmanager
def _cuda_peak() -> Iterator[_Peak]:
    peak = _Peak()
    devices = range(torch.cuda.device_count())
    _synchronise()
    for index in devices:
        torch.cuda.reset_peak_memory_stats(index)
    before = sum(torch.cuda.memory_allocated(index) for index in devices)
    yield peak
    after = sum(torch.cuda.max_memory_allocated(index) for index in devices)
    peak.mb = (after - before) / 1e6


@contextmanager
def _process_peak() -> Iterator[_Peak]:
    peak = _Peak()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only glibc keeps what is freed
    if trim is not None:
        trim(0)
    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not ended.wait(0.01):
            peak.mb = max(peak.mb, (process.memory_info().rss - before) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        ended.set()
        watcher.join()
