"""Shallow neurons that speak only behind an attention layer (paper section 4.4, Tables 7 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import LAYER, NAME, NEURON, Column
from analysis.options import Given, Option, Typed
from analysis.step import Step, Work
from analysis.tasks.concepts import CONCEPTS, CONCEPTS_NAME, read_concepts

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
