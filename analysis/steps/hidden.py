"""Neurons that speak only behind an attention layer, alone and in sets (paper section 4.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import CONTROL_NOTE, LAYER, NAME, NEURON, Column
from analysis.options import Given, Option, Typed
from analysis.step import Step, Work
from analysis.steps.heads import MEASURES, measured
from analysis.tasks.concepts import CONCEPTS, CONCEPTS_NAME, read_concepts
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

HOLDING = (1, 2, 3, 4)
"""Numbers of concept tokens that the summary counts neurons by: M of Table 8."""


def _concepts(given: Given) -> tuple[str, tuple[str, ...]]:
    """What to call the concepts, and the words."""
    text = given["concepts"]
    return (CONCEPTS_NAME, CONCEPTS) if text is None else read_concepts(text)


WORDS = Option(
    "concepts",
    "What to look for: words joined by commas, or a text file with one a line. Else numbers and "
    "operations.",
    metavar="WORDS|FILE",
    file=True,
)


class HiddenStep(Step):
    """Count the concept tokens that each shallow neuron's value promotes behind attention layers.

    A value is passed through the value-output map of all heads of an attention layer and read in
    the vocabulary, as `project --through` does. A neuron is hidden-interpretable at M if the top
    tokens behind some attention layer hold M concepts or more.
    """

    kind: Literal["hidden"] = "hidden"
    concepts: Annotated[tuple[str, ...], Typed((WORDS,), lambda given: _concepts(given)[1])] = (
        Field(default=CONCEPTS, min_length=1)
    )
    """Words; the tokens that are one of them, space and case left aside, are concept tokens."""
    concepts_name: Annotated[str, Typed((), lambda given: _concepts(given)[0])] = CONCEPTS_NAME
    layers: int | None = Field(
        None, ge=0, description="The last shallow layer; else the first half is shallow."
    )
    top_tokens: int = Field(50, ge=1, description="Top tokens that may hold a concept.")

    ranked_by: ClassVar[str] = "concepts"
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "concepts", "through", "direct", "found")
    also: ClassVar[tuple[Option, ...]] = (
        Option("top", "How many rows to print.", int, Step.lines, least=1),
    )
    columns: ClassVar[tuple[Column, ...]] = (
        NAME,
        LAYER,
        NEURON,
        Column(
            "concepts",
            pl.Int32,
            "the most concept tokens among its top tokens behind an attention layer, 0 to S + 1",
        ),
        Column(
            "through", pl.Int32, "the first attention layer where so many are; none where none are"
        ),
        Column("direct", pl.Int32, "concept tokens among its top tokens without any attention"),
        Column("found", pl.List(pl.String), "the concept tokens behind that layer, best first"),
        Column(
            "tokens",
            pl.List(pl.String),
            "the ten tokens it promotes most behind that layer; none where no concept is found",
        ),
    )

    @property
    def subject(self) -> str:
        return f"hidden-interpretable neurons · {self.concepts_name}"

    def start(self, model: Model) -> Work:
        from analysis.methods.hidden import hidden_work

        return hidden_work(model, self.concepts, self.layers, self.top_tokens)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Most concepts first; equal ones in the model's own order."""
        return rows.sort(["concepts", "layer", "neuron"], descending=[True, False, False])

    def summary(self, rows: pl.DataFrame) -> str:
        """How many neurons hold 1, 2, 3, 4 concepts or more."""
        counts = ((least, int((rows["concepts"] >= least).sum())) for least in HOLDING)
        words = "  ".join(f"≥{least} {count:,}" for least, count in counts)
        return f"concept tokens: {words} of {rows.height:,} neurons"


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
    def filled(self) -> tuple[Column, ...]:
        """The logit difference only where there are wrong answers."""
        return measured(self.columns, self.prompts)

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
