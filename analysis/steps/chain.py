"""The internal logic chain of one case, in four stages (paper Figure 1, sections 4.2 to 4.5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


class ChainStep(Step):
    """Build the chain that leads from the prompt's words to the answer; one row a node.

    Its root is the lowest of the deep neurons that the head drives. What feeds the root is
    measured along the root's key, norms and attention patterns as in the run.
    """

    kind: Literal["chain"] = "chain"
    prompt: Annotated[Prompt, ONE_PROMPT]
    head: HeadRef | None = Field(
        None, description="The head to build it around; else the costliest one."
    )
    """The head that predicts the features; None: the one without which the answer suffers most."""
    deep: int = Field(6, ge=1, description="How many deep neurons.")
    shallow: int = Field(8, ge=1, description="How many shallow neurons and words.")
    layers: int = Field(4, ge=1, description="How many attention layers below the head.")

    ranked_by: ClassVar[str] = "stage"
    descending: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column(
            "name", pl.String, "the node: L5N87@12 a neuron at position 12, word@12, L13, L20H8"
        ),
        Column(
            "stage",
            pl.Int32,
            "1 feature enhancing, 2 transferring, 3 predicting, 4 prediction enhancing, 5 answer",
        ),
        Column(
            "part",
            pl.String,
            "what to zero to take the node away; null for words and answer",
            wide=True,
        ),
        Column("layer", pl.Int32, "its layer; null for words and answer", wide=True),
        Column("position", pl.Int32, "place in the prompt, from 0; null: the last", wide=True),
        Column("reads", pl.String, "the prompt's token there"),
        Column(
            "score",
            pl.Float64,
            "what its stage is sorted by: stages 1 to 3 what it adds to the root's coefficient, "
            "stage 4 the change of importance, nats",
        ),
        Column("coefficient", pl.Float64, "coefficient score m of a neuron, at its position"),
        Column("tokens", pl.List(pl.String), "tokens its contribution promotes, best first"),
        Column("through", pl.Int32, "attention layer that carries it to the last position"),
        Column(
            "tokens_through", pl.List(pl.String), "tokens it promotes behind that layer", wide=True
        ),
        Column("prob_without", pl.Float64, "probability of the answer without it", "0 to 1"),
        Column("to", pl.List(pl.String), "nodes it feeds", wide=True),
        Column(
            "weight",
            pl.List(pl.Float64),
            "what it adds to each: to the size of a neuron's coefficient (the root's, for a layer "
            "or the head), to the log-probability of the answer",
            wide=True,
        ),
    )

    @property
    def about(self) -> tuple[str, ...]:
        return () if self.head is None else (str(self.head),)

    @property
    def subject(self) -> str:
        head = "" if self.head is None else f" of {self.head}"
        return f"chain{head} · {quoted(self.prompt.prompt)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.chain import chain_work

        return chain_work(model, self.prompt, self.head, self.deep, self.shallow, self.layers)

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Stage by stage, the strongest of each first."""
        return rows.sort(
            ["stage", "score"], descending=[False, True], maintain_order=True, nulls_last=True
        )

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Nodes with their strongest edges, and what they say behind attention if they go there."""
        behind = pl.col("tokens_through").list.len().fill_null(0) > 0
        edges = pl.Series(
            "feeds",
            [_strongest(*each) for each in rows.select("to", "weight").rows()],
            dtype=pl.String,
        )
        return rows.select(
            "stage",
            "name",
            "reads",
            "score",
            pl.col("coefficient").alias("m"),
            pl.col("prob_without").alias("without"),
            edges,
            pl.when(behind).then("tokens_through").otherwise("tokens").list.head(2).alias("says"),
        )

    def agreement(self, rows: pl.DataFrame, estimates: pl.DataFrame | None) -> float | None:
        """None: nothing in a chain is estimated, its ablations only come later."""
        return None


def _strongest(to: list[str], weight: list[float]) -> str:
    """The two strongest edges of a node."""
    pairs = sorted(zip(to, weight, strict=True), key=lambda pair: -abs(pair[1]))[:2]
    return "  ".join(f"{name} {value:+.2f}" for name, value in pairs).replace("-", "−")
