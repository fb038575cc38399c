"""A table of the paper, measured: its cells beside the paper's, and what came of its claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import field_validator

from analysis.columns import Column
from analysis.paper.measuring import Measuring
from analysis.paper.outcome import CELLS, Found, Outcome
from analysis.paper.registry import TABLES, Table
from analysis.paper.scale import Scale
from analysis.step import Step, Work

if TYPE_CHECKING:
    from analysis.model import Model


class TableStep(Step):
    """One table of the paper. Its numbers come from other steps, which it asks for."""

    kind: Literal["table"] = "table"
    table: str
    scale: Scale

    ranked_by: ClassVar[str] = "name"
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = CELLS

    @field_validator("table")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in TABLES:
            raise ValueError(f"no table {value!r}; there are {', '.join(TABLES)}")
        return value

    @property
    def declared(self) -> Table:
        """What is measured, and how."""
        return TABLES[self.table]

    @property
    def title(self) -> str:
        return f"{self.table} · {self.declared.title}"

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """In the order of the table."""
        return rows

    def start(self, model: Model) -> Work:
        """Measure it from nothing but the model; who has rows already drives `Measuring`."""
        measuring = Measuring(self)
        while (step := measuring.wanted) is not None:
            work = step.start(model)
            rows = step.ranked(pl.concat(list(work.frames(()))))
            measuring.answer(Found(step, rows, work.baseline))
        assert measuring.outcome is not None
        return self.measured(measuring.outcome)

    def measured(self, outcome: Outcome) -> Work:
        """An outcome as the work of this step: one frame."""
        frame = outcome.frame()
        return Work(
            frame.height, lambda done: iter(() if done else (frame,)), baseline=outcome.facts()
        )
