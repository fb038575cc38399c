"""Comparative Neuron Analysis over many pairs of prompts (paper section 6.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import LAYER, NAME, NEURON, Column
from analysis.options import Given, Option, Typed
from analysis.step import Step, Work
from analysis.steps.neurons import TOKENS, TOP_OR_ALL, quoted
from analysis.tasks.asking import COLUMNS, column_names
from analysis.tasks.pairs import PromptPair, named_pairs

if TYPE_CHECKING:
    from analysis.model.model import Model


def _named(given: Given) -> tuple[PromptPair, ...]:
    return named_pairs(given["pairs"], column_names(given["columns"]))


PAIRS = Option(
    "pairs",
    "Whose neurons: gender (professions), or a file of cases in twos.",
    default="gender",
    metavar="gender|FILE",
    file=True,
)


class PairsStep(Step):
    """Rank neurons by how much more they add to answers behind the first prompts of pairs.

    Each pair is compared as CNA compares two prompts: answer and frozen norm are those of the
    first. All numbers are means over the pairs.
    """

    kind: Literal["pairs"] = "pairs"
    pairs: Annotated[tuple[PromptPair, ...], Typed((PAIRS, COLUMNS), _named)] = Field(min_length=1)
    top: Annotated[int | None, TOP_OR_ALL] = Field(default=100, ge=1)
    """How many of the largest changes to find exactly; None: score all neurons."""

    ranked_by: ClassVar[str] = "importance_change"
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "importance_change",
        "importance",
        "coefficient",
        "tokens",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        NAME,
        LAYER,
        NEURON,
        Column("importance", pl.Float64, "mean importance behind the first prompts", "nats"),
        Column("importance_contrast", pl.Float64, "mean importance behind the second", "nats"),
        Column("importance_change", pl.Float64, "importance minus its contrast", "nats"),
        Column("coefficient", pl.Float64, "mean coefficient score behind the first prompts"),
        Column("coefficient_contrast", pl.Float64, "mean coefficient score behind the second"),
        Column("coefficient_change", pl.Float64, "coefficient score minus its contrast"),
        TOKENS,
    )

    @property
    def subject(self) -> str:
        """How many pairs, and the first of them."""
        first, second = (
            quoted(each.prompt) for each in (self.pairs[0].first, self.pairs[0].second)
        )
        count = "1 pair" if len(self.pairs) == 1 else f"{len(self.pairs)} pairs"
        return f"CNA over {count} · {first} against {second}"

    def start(self, model: Model) -> Work:
        from analysis.methods.neurons import pairs_work

        return pairs_work(model, self.pairs, self.top)
