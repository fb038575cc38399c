"""A long step whose rows come when a test lets them, so that no timing decides anything."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from typing import Any, ClassVar, Literal

import polars as pl

from analysis.columns import Column, schema
from analysis.progress import checkpoint, tell
from analysis.step import REGISTRY, Step, Work

_let: dict[str, threading.Semaphore] = {}


class PacedStep(Step):
    """Rows `n0`, `n1`, …, one for each time that `let` is called."""

    kind: Literal["paced"] = "paced"
    name: str = "paced"
    count: int = 5
    fails_at: int | None = None

    ranked_by: ClassVar[str] = "value"
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the row"),
        Column("value", pl.Float64, "its value"),
    )

    @property
    def subject(self) -> str:
        return f"paced {self.name}"

    def start(self, model: Any) -> Work:
        def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
            for number in range(self.count):
                if f"n{number}" in done:
                    continue
                while not _gate(self.name).acquire(timeout=0.01):
                    checkpoint()
                    tell(0.5, f"waiting for n{number}")
                if number == self.fails_at:
                    raise RuntimeError("what nobody foresaw\nin detail")
                row = {"name": [f"n{number}"], "value": [float(number)]}
                yield pl.DataFrame(row, schema=schema(self.columns))

        return Work(self.count, frames, {"value": 0.5})


def let(rows: int, name: str = "paced") -> None:
    """Let so many more rows of the steps of that name come."""
    _gate(name).release(rows)


def forget() -> None:
    """Take back what was let and not used."""
    _let.clear()


def _gate(name: str) -> threading.Semaphore:
    return _let.setdefault(name, threading.Semaphore(0))


REGISTRY.pop("paced")  # a test that wants it puts it back
