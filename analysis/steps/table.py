"""A table of the paper, measured: its cells beside the paper's, and what came of its claim."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import field_validator

from analysis.columns import Column
from analysis.options import Given, Option, single
from analysis.paper.outcome import CELLS, Found, Outcome
from analysis.paper.scale import SCALE, Scale
from analysis.step import Step, Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.paper.registry import Table


def _table_ids() -> Iterable[str]:
    from analysis.paper.registry import TABLES

    return TABLES


TABLE = Option("table", "Only these, as T5,T8.", metavar="IDS", listed=True, names=_table_ids)


class TableStep(Step):
    """One table of the paper. Its numbers come from other steps, which it asks for."""

    kind: Literal["table"] = "table"
    table: Annotated[str, single(TABLE)]
    scale: Annotated[Scale, SCALE]

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "name"
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = CELLS

    @classmethod
    def asked(cls, given: Given) -> tuple[Self, ...]:
        """A step for each of the tables that are named; all of them where none is."""
        from analysis.paper.measuring import Measuring
        from analysis.paper.registry import tables

        scale = SCALE.read(given)
        steps = tuple(cls.of(table=each.id, scale=scale) for each in tables(given["table"]))
        if given["table"] is not None:
            for each in steps:
                Measuring(each)  # which refuses cases that do not suit the table
        return steps

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
