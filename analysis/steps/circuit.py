"""What the neurons that a head drives are worth (paper sections 4.2 and 4.3, Tables 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator, model_validator

from analysis.columns import CONTROL_NOTE, Column
from analysis.options import SEED
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.tasks.asking import PROMPTS
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

TOPS = (99, 50, 30, 20, 10)
"""How many neurons the paper masks and keeps."""

_CHANGES = {
    "mask": "the top neurons zeroed",
    "mask_random": "as many random neurons a layer zeroed instead",
    "keep": "all deep neurons but the top ones zeroed",
    "keep_random": "all deep neurons but as many random ones a layer zeroed",
}


class CircuitStep(Step):
    """For each case find the neurons a head drives, by CNA, and intervene on them.

    Deep neurons are those of the head's layer and above. Each intervention stands beside a control
    with as many random neurons of the same layers, drawn anew for each case: none of those masked
    or kept, and none of the others that the head drives where the layer has any left.
    """

    kind: Literal["circuit"] = "circuit"
    prompts: Annotated[PromptSet, PROMPTS]
    head: HeadRef = Field(description="The head whose neurons are meant.")
    tops: tuple[int, ...] = Field(TOPS, description="Numbers of neurons to intervene on.")
    """One row each."""
    seed: Annotated[int, SEED] = 0
    """Of the random controls."""

    ranked_by: ClassVar[str] = "case"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the case and how many neurons"),
        Column("case", pl.Int32, "place of the case among the prompts, from 0"),
        Column("top", pl.Int32, "how many neurons: those with the largest change"),
        Column("intact_correct", pl.Boolean, "whether it is answered right with nothing changed"),
        Column("intact_logprob", pl.Float64, "log-probability of the answer then", "nats"),
        Column("head_correct", pl.Boolean, "the same with the head zeroed"),
        Column("head_logprob", pl.Float64, "the same with the head zeroed", "nats"),
        *(
            column
            for name, words in _CHANGES.items()
            for column in (
                Column(f"{name}_correct", pl.Boolean, f"answered right with {words}"),
                Column(f"{name}_logprob", pl.Float64, f"log-probability with {words}", "nats"),
            )
        ),
        Column(
            "coefficient_decrease",
            pl.Float64,
            "share of the top neurons' coefficients that is lost when the head is zeroed: "
            "1 − Σ sign(m)·m′ / Σ |m|",
        ),
        Column("lowest", pl.String, "the most important of the top neurons in their lowest layer"),
        Column(
            "lowest_decrease",
            pl.Float64,
            "the same share, of the other top neurons, when only that one is zeroed",
        ),
        Column("lowest_random", pl.String, "the random neuron that stands in for it"),
        Column("lowest_random_decrease", pl.Float64, "the same share when that one is zeroed"),
        Column("neurons", pl.List(pl.String), "the top neurons, largest change first", detail=True),
        Column(
            "neurons_random",
            pl.List(pl.String),
            "a random stand-in for each",
            detail=True,
        ),
        CONTROL_NOTE,
    )

    @field_validator("tops")
    @classmethod
    def _usable(cls, tops: tuple[int, ...]) -> tuple[int, ...]:
        if not tops or min(tops) < 1:
            raise ValueError("give numbers of neurons, each 1 or more")
        return tuple(dict.fromkeys(tops))

    @model_validator(mode="after")
    def _with_answers(self) -> CircuitStep:
        self.prompts.require_answers()
        return self

    @property
    def subject(self) -> str:
        return f"{self.prompts.title} · neurons that {self.head} drives, masked and kept"

    def start(self, model: Model) -> Work:
        from analysis.methods.circuit import circuit_work

        return circuit_work(model, self.prompts.prompts, self.head, self.tops, self.seed)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Case by case, the largest sets first."""
        return rows.sort(["case", "top"], descending=[False, True])

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Accuracy under each change and mean decreases, for each number of neurons."""
        return (
            rows.group_by("top")
            .agg(
                pl.len().alias("cases"),
                *(
                    pl.col(f"{name}_correct").cast(pl.Float64).mean().alias(name)
                    for name in _CHANGES
                ),
                pl.col("coefficient_decrease", "lowest_decrease").mean(),
            )
            .sort("top", descending=True)
        )
