"""A table of the paper, measured: its cells beside the paper's, and what came of its claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import field_validator

from analysis.columns import Column
from analysis.paper.outcome import CELLS, Found, Outcome
from analysis.paper.scale import Scale
from analysis.step import Step, Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.paper.registry import Table


class TableStep(Step):
    """One table of the paper. Its numbers come from other steps, which it asks for."""

    kind: Literal["table"] = "table"
    table: str
    scale: Scale

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "name"
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = CELLS

    @field_validator("table")
    @classmethod
    def _known(cls, value: str) -> str:
        from analysis.paper.registry import tables

        found = tables(value)
        if len(found) != 1:
            raise ValueError(f"{value} are several tables; a step is one of them")
        return found[0].id

    @property
    def declared(self) -> Table:
        """What is measured, and how."""
        from analysis.paper.registry import TABLES  # whose experiments are made of steps

        return TABLES[self.table]

    @property
    def subject(self) -> str:
        return f"{self.table} · {self.declared.title}"

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """In the order of the table."""
        return rows

    def bound(self, model: Model) -> Work:
        """Bind it to the model itself: the steps it asks for carry its changes."""
        return self.start(model)

    def start(self, model: Model) -> Work:
        """Measure it from nothing but the model; who has rows already drives `Measuring`."""
        from analysis.paper.measuring import Measuring

        measuring = Measuring(self)
        while (step := measuring.wanted) is not None:
            work = step.bound(model)
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
