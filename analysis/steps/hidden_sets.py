"""What hidden-interpretable neurons are worth: sets of them zeroed (paper Tables 8, 17, 21)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import CONTROL_NOTE, Column
from analysis.step import Step, Work
from analysis.steps.heads import MEASURES
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

THRESHOLDS = (0, 1, 2, 3, 4, 6, 8, 10)
"""Least numbers of concept tokens that make a set. The paper's end at 3; the longer a vocabulary's
list of number words, the more of them a neuron holds by chance."""


class HiddenSetsStep(Step):
    """Zero all shallow neurons that hold M concept tokens or more, and as many random ones.

    What the neurons hold is found by `HiddenStep`. A random set has as many other neurons in each
    layer; a set of more than half of the neurons has none.
    """

    kind: Literal["hidden_sets"] = "hidden_sets"
    prompts: PromptSet
    concepts: tuple[tuple[int, ...], ...] = Field(min_length=1)
    """Concept tokens that each neuron holds, layer by layer from the first."""
    thresholds: tuple[int, ...] = THRESHOLDS
    controls: int = Field(default=5, ge=0)
    """Random sets beside each set that leaves enough neurons out."""
    seed: int = 0

    ranked_by: ClassVar[str] = "least"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the set"),
        Column("least", pl.Int32, "M, the least number of concept tokens its neurons hold"),
        Column("draw", pl.Int32, "which random set of that size; none: the set itself"),
        Column("neurons", pl.Int32, "how many neurons it holds"),
        *MEASURES,
        Column(
            "drawn",
            pl.List(pl.String),
            "the neurons of a random set, a text a layer, as `L3N1,4,9`",
            detail=True,
            later=True,
        ),
        CONTROL_NOTE,
    )

    @model_validator(mode="after")
    def _with_answers(self) -> HiddenSetsStep:
        self.prompts.require_answers()
        if len({len(layer) for layer in self.concepts}) > 1:
            raise ValueError("every layer has equally many neurons")
        return self

    @property
    def subject(self) -> str:
        return f"{self.prompts.title} · hidden-interpretable neurons zeroed"

    def start(self, model: Model) -> Work:
        from analysis.methods.hidden import hidden_sets_work

        return hidden_sets_work(
            model, self.prompts.prompts, self.concepts, self.thresholds, self.controls, self.seed
        )

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """By M, each set before its random ones."""
        return rows.sort(["least", "draw"], nulls_last=False)
