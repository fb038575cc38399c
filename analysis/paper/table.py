"""A table of the paper, measured: its cells beside the paper's, and what came of its claim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import field_validator

from analysis.columns import Column
from analysis.errors import InputError
from analysis.options import Given, Option, single
from analysis.paper.outcome import CELLS, Outcome
from analysis.paper.registry import TABLES, Table, tables
from analysis.paper.scale import SCALE, Scale
from analysis.step import Asking, Step, Work, asked_of

if TYPE_CHECKING:
    from analysis.model.model import Model


TABLE = Option("table", "Only these, as T5,T8.", metavar="IDS", listed=True, names=lambda: TABLES)


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
        scale = SCALE.read(given)
        steps = tuple(cls.of(table=each.id, scale=scale) for each in tables(given["table"]))
        if given["table"] is not None:
            for each in steps:
                each.check_cases()
        return steps

    @field_validator("table")
    @classmethod
    def _known(cls, value: str) -> str:
        found = tables(value)
        if len(found) != 1:
            raise ValueError(f"{value} are several tables; a step is one of them")
        return found[0].id

    @property
    def declared(self) -> Table:
        """What is measured, and how."""
        return TABLES[self.table]

    @property
    def subject(self) -> str:
        return f"{self.table} · {self.declared.title}"

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """In the order of the table."""
        return rows

    def check_cases(self) -> None:
        """Refuse cases that do not suit the table, before anything is computed.

        Raises:
            InputError: the scale's own task does not suit it; names the table.
        """
        try:
            next(self.declared.measure(self.scale), None)
        except InputError as error:
            raise InputError(f"{self.table}: {error}") from error

    def asks(self) -> Asking:
        """The steps of the table's experiment, on the variant that the table is measured on."""
        experiment = self.declared.measure(self.scale)
        try:
            step = next(experiment)
            while True:
                step = experiment.send((yield self._on_variant(step)))
        except StopIteration as end:
            outcome: Outcome = end.value
        frame = outcome.frame()
        return Work(
            frame.height, lambda done: iter(() if done else (frame,)), baseline=outcome.facts()
        )

    def _on_variant(self, step: Step) -> Step:
        changes = (*self.changes, *step.changes)
        return step.model_copy(update={"changes": changes}) if changes else step

    def bound(self, model: Model) -> Work:
        """Bind it to the model itself: the steps it asks for carry its changes."""
        return self.start(model)

    def start(self, model: Model) -> Work:
        """Measure it from nothing but the model; `sessions.ensure` keeps the steps as well."""
        return asked_of(self.asks(), model)
