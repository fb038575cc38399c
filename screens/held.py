"""Where the rows of a result are: in memory, or on disk until somebody looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import polars as pl

from analysis.columns import schema
from analysis.errors import WorkbenchError
from sessions import RecordedStep
from sessions.documents import FoundState


class Held(Protocol):
    """Rows that a result can show."""

    @property
    def rows(self) -> pl.DataFrame:
        """Exact rows."""

    @property
    def estimates(self) -> pl.DataFrame | None:
        """First-order values, if there are any."""

    @property
    def done(self) -> int:
        """How many exact rows there are, told without reading them where that can be."""


@dataclass(frozen=True)
class InMemory:
    """Rows as they came from a running step."""

    rows: pl.DataFrame
    estimates: pl.DataFrame | None = None

    @property
    def done(self) -> int:
        """How many exact rows there are."""
        return self.rows.height


@dataclass
class OnDisk:
    """Rows of a recorded step, read when they are first asked for and kept then.

    A step that is removed before anybody asked has none, and is damaged.
    """

    step: RecordedStep

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Exact rows."""
        try:
            return self.step.rows()
        except WorkbenchError:
            return pl.DataFrame(schema=schema(self.step.step.columns))

    @cached_property
    def estimates(self) -> pl.DataFrame | None:
        """First-order values, if there are any."""
        return self.step.estimates()

    @cached_property
    def state(self) -> FoundState:
        """What became of the step, known for sure only when its rows are read."""
        try:
            return self.step.state
        except WorkbenchError:
            return "damaged"

    @cached_property
    def done(self) -> int:
        """How many exact rows its files say they hold."""
        try:
            return self.step.listed_rows
        except WorkbenchError:
            return 0
