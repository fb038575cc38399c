"""Parts ablated together: what sets of heads and neurons are worth on prompts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.interventions import Intervention, Mode
from analysis.options import REQUIRED, Given, Option, Typed, naming
from analysis.step import Step, Work
from analysis.steps.heads import MEASURES, measured
from analysis.tasks.asking import PROMPTS
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

SETS = Option(
    "sets",
    "What to ablate together, as L20H8,L3N7; several sets give a row each.",
    default=REQUIRED,
    metavar="PARTS …",
    several=True,
    argument=True,
)
FACTOR = Option("factor", "What to multiply the parts by; 0 takes them away.", float, 0.0)


def _sets(given: Given) -> tuple[Intervention, ...]:
    with naming("sets"):
        return tuple(Intervention.parse(each, given["factor"]) for each in given["sets"])


class AblateStep(Step):
    """Ablate one set of heads and neurons after the other, each set all at once."""

    kind: Literal["ablate"] = "ablate"
    prompts: Annotated[PromptSet, PROMPTS]
    sets: Annotated[tuple[Intervention, ...], Typed((SETS, FACTOR), _sets)] = Field(min_length=1)
    mode: Mode = Field("zero", description="Replace a head by zero or mean.")
    """Neurons are always scaled."""

    edition: ClassVar[int] = 1
    ranked_by: ClassVar[str] = "logprob"
    descending: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "heads",
        "neurons",
        "accuracy",
        "logprob",
        "prob",
        "logit_difference",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the set, its parts joined by commas"),
        Column("heads", pl.Int32, "how many heads it holds"),
        Column("neurons", pl.Int32, "how many neurons it holds"),
        *MEASURES,
    )

    @model_validator(mode="after")
    def _heads_where_a_mean_is_wanted(self) -> AblateStep:
        if self.mode == "mean" and any(each.neurons for each in self.sets):
            raise ValueError("mean ablation is for heads; leave the neurons out or use zero")
        return self

    @model_validator(mode="after")
    def _names_that_tell_the_sets_apart(self) -> AblateStep:
        counts = Counter(each.names for each in self.sets)
        name, most = counts.most_common(1)[0]
        if most > 1:
            raise ValueError(f"{name} is given {most} times; give each set once")
        return self

    @property
    def filled(self) -> tuple[Column, ...]:
        """The logit difference only where there are wrong answers."""
        return measured(self.columns, self.prompts)

    @property
    def subject(self) -> str:
        others = len(self.sets) - 1
        named = self.sets[0].names
        if others:
            named += f" and {others} other{'s' if others > 1 else ''} one by one"
        verb = "mean-ablated" if self.mode == "mean" else self.sets[0].verb
        return f"{self.prompts.title} · {named} {verb}"

    def start(self, model: Model) -> Work:
        from analysis.methods.heads import ablation_work

        return ablation_work(model, self.prompts.prompts, self.sets, self.mode)
