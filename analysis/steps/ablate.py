"""Parts ablated together: what sets of heads and neurons are worth on prompts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.interventions import Intervention, Replacement
from analysis.options import REQUIRED, Given, Option, Typed, naming, single
from analysis.step import Step, Work
from analysis.steps.heads import MEASURES, measured
from analysis.steps.patch import Positions, parse_positions
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

POSITIONS = Option(
    "positions",
    "Where: all at once, each by itself, or some by themselves as 0,3,-1.",
    default="all",
    names=lambda: ("all", "each"),
)


def _sets(given: Given) -> tuple[Intervention, ...]:
    with naming("sets"):
        return tuple(Intervention.parse(each, given["factor"]) for each in given["sets"])


def _seed(given: Given) -> int:
    """Only what is drawn depends on it."""
    return given.seed if given["mode"] == "resample" else 0


class AblateStep(Step):
    """Ablate one set of heads and neurons after the other, each set all at once."""

    kind: Literal["ablate"] = "ablate"
    prompts: Annotated[PromptSet, PROMPTS]
    sets: Annotated[tuple[Intervention, ...], Typed((SETS, FACTOR), _sets)] = Field(min_length=1)
    mode: Replacement = Field(
        "zero",
        description="Replace them by zero, mean or resample: what they are in the corrupt run, or "
        "in another case of as many tokens where a case has none.",
    )
    positions: Annotated[Positions, single(POSITIONS, parse_positions)] = "all"
    seed: Annotated[int, Typed((), _seed)] = 0
    """Of the cases that `resample` draws."""

    edition: ClassVar[int] = 1
    newer: ClassVar[tuple[str, ...]] = ("positions", "seed")
    ranked_by: ClassVar[str] = "logprob"
    descending: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "token",
        "heads",
        "neurons",
        "accuracy",
        "logprob",
        "prob",
        "logit_difference",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the set, its parts joined by commas, and at which position"),
        Column("heads", pl.Int32, "how many heads it holds"),
        Column("neurons", pl.Int32, "how many neurons it holds"),
        Column("position", pl.Int32, "place in the prompt, from 0; none: all at once", later=True),
        Column("token", pl.String, "the prompt's token there", later=True),
        *MEASURES,
    )

    @model_validator(mode="after")
    def _names_that_tell_the_sets_apart(self) -> AblateStep:
        counts = Counter(each.names for each in self.sets)
        name, most = counts.most_common(1)[0]
        if most > 1:
            raise ValueError(f"{name} is given {most} times; give each set once")
        return self

    @property
    def filled(self) -> tuple[Column, ...]:
        """The logit difference only where there are wrong answers, a position where it is one."""
        found = measured(self.columns, self.prompts)
        if self.positions != "all":
            return found
        return tuple(each for each in found if each.name not in ("position", "token"))

    @property
    def subject(self) -> str:
        others = len(self.sets) - 1
        named = self.sets[0].names
        if others:
            named += f" and {others} other{'s' if others > 1 else ''} one by one"
        verbs = {"zero": self.sets[0].verb, "mean": "mean-ablated", "resample": "resampled"}
        where = "" if self.positions == "all" else " at single positions"
        return f"{self.prompts.title} · {named} {verbs[self.mode]}{where}"

    def start(self, model: Model) -> Work:
        if self.positions == "all" and self.mode == "zero":
            from analysis.methods.heads import ablation_work

            return ablation_work(model, self.prompts.prompts, self.sets)
        from analysis.methods.ablation import replacement_work

        return replacement_work(
            model, self.prompts, self.sets, self.mode, self.positions, self.seed
        )
