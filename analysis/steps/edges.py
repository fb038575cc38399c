"""Edges that carry the difference between two prompts, and the circuits they make."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

import polars as pl
from pydantic import Field, field_validator

from analysis.columns import Column
from analysis.options import SEED
from analysis.step import Step, Work
from analysis.steps.patch import on_pairs
from analysis.tasks.asking import PAIRS_OF_PROMPTS
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

Method: TypeAlias = Literal["eap", "eap-ig"]
Metric: TypeAlias = Literal["logit_difference", "logprob", "prob"]
"""Those of `analysis.tasks.metrics` that gradients pass through."""
Ranking: TypeAlias = Literal["absolute", "signed"]

METHOD = "Estimate edges by eap (one gradient) or eap-ig (a mean of several)."
STEPS = "Gradients that eap-ig averages."
METRIC = (
    "What runs are measured by: logit_difference, logprob or prob; else the logit difference where "
    "there are wrong answers, the log-probability where none is."
)
RANKING = (
    "Rank edges by the size of their score (absolute) or by what they carry of the difference "
    "(signed)."
)


class EdgesStep(Step):
    """Estimate every edge between heads, FFNs, embedding and logits, and verify the strongest.

    A score is what the metric would change if the edge alone carried its source's value of the
    corrupt prompt, to first order; verified is what it does change, by path patching.
    """

    kind: Literal["edges"] = "edges"
    prompts: Annotated[PromptSet, PAIRS_OF_PROMPTS]
    metric: Metric | None = Field(None, description=METRIC)
    method: Method = Field("eap", description=METHOD)
    steps: int = Field(5, ge=1, description=STEPS)
    verify: int = Field(50, ge=0, description="How many of the strongest edges to verify exactly.")
    keep: int = Field(1_000, ge=1, description="How many of the strongest edges to keep.")
    ranking: Ranking = Field("absolute", description=RANKING)

    ranked_by: ClassVar[str] = "verified"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("source", "target", "input", "score", "verified")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the edge"),
        Column("source", pl.String, "what writes: embedding, L5H3 a head, L7F an FFN"),
        Column(
            "target",
            pl.String,
            "what reads: L5H3 a head, L5KV1 a key/value head that several share, L7F, logits",
        ),
        Column("input", pl.String, "which of its inputs: q, k, v, ffn or logits"),
        Column(
            "score",
            pl.Float64,
            "estimated change of the metric if the edge is corrupted, mean over cases",
        ),
        Column(
            "verified",
            pl.Float64,
            "exact change of the metric, mean over cases; none where it was not asked for",
        ),
        Column("rank", pl.Int32, "place among all edges by the score, from 1"),
        Column(
            "case_verified",
            pl.List(pl.Float64),
            "exact change in each case, in the order of the record's case_numbers",
            detail=True,
        ),
    )

    @property
    def subject(self) -> str:
        return f"edges by {self.method.upper()} · {on_pairs(self.prompts)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.edges import edges_work

        return edges_work(
            model,
            self.prompts,
            self.steps if self.method == "eap-ig" else 1,
            self.verify,
            self.keep,
            self.ranking == "signed",
            self.metric,
        )

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """By the score, whether verified or not."""
        return rows.sort("rank")

    def agreement(self, rows: pl.DataFrame, estimates: pl.DataFrame | None) -> float | None:
        """That of the verified edges."""
        return super().agreement(rows.drop_nulls("verified"), estimates)

    def worst_miss(self, rows: pl.DataFrame, estimates: pl.DataFrame) -> str:
        """That of the verified edges."""
        return super().worst_miss(rows.drop_nulls("verified"), estimates)


SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class FaithfulnessStep(Step):
    """Keep the strongest edges alone and measure how much of the difference they carry.

    Everything outside the kept edges has its value of the corrupt prompt. Random edges of equal
    number stand beside them.
    """

    kind: Literal["faithfulness"] = "faithfulness"
    prompts: Annotated[PromptSet, PAIRS_OF_PROMPTS]
    metric: Metric | None = Field(None, description=METRIC)
    method: Method = Field("eap", description=METHOD)
    steps: int = Field(5, ge=1, description=STEPS)
    ranking: Ranking = Field("absolute", description=RANKING)
    shares: tuple[float, ...] = Field(
        SHARES, description="Shares of all edges to keep, each 0 to 1.", min_length=1
    )
    draws: int = Field(1, ge=0, description="Random sets of edges beside each share.")
    seed: Annotated[int, SEED] = 0

    ranked_by: ClassVar[str] = "share"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the share in per cent"),
        Column("share", pl.Float64, "share of all edges that is kept", "0 to 1"),
        Column("edges", pl.Int32, "how many edges that is"),
        Column(
            "faithfulness",
            pl.Float64,
            "share of the metric's difference that the strongest edges carry alone",
            "1: all of it",
        ),
        Column("random", pl.Float64, "the same of random edges, mean of the draws", "1: all of it"),
        Column("random_draws", pl.List(pl.Float64), "the same of each draw", detail=True),
        Column(
            "case_faithfulness",
            pl.List(pl.Float64),
            "faithfulness of each case, in the order of the record's case_numbers",
            detail=True,
        ),
    )

    @field_validator("shares")
    @classmethod
    def _in_range(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 <= each <= 1 for each in value):
            raise ValueError("a share of the edges is 0 to 1, as 0.05 for 5 %")
        return tuple(sorted(set(value)))

    @property
    def subject(self) -> str:
        return f"faithfulness of edges by {self.method.upper()} · {on_pairs(self.prompts)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.edges import faithfulness_work

        return faithfulness_work(
            model,
            self.prompts,
            self.shares,
            self.steps if self.method == "eap-ig" else 1,
            self.ranking == "signed",
            self.draws,
            self.seed,
            self.metric,
        )

    def summary(self, rows: pl.DataFrame) -> str:
        """The two areas, and how edges were ranked."""
        cpr, cmd = areas(rows)
        return (
            f"CPR {cpr:.3f} area under it  CMD {cmd:.3f} area to 1  "
            f"edges ranked by {self.ranking} score"
        )


def areas(rows: pl.DataFrame) -> tuple[float, float]:
    """CPR `∫ f` and CMD `∫ |1 − f|` over the share of edges from 0, where f is 0, to the last.

    Args:
        rows: of a `FaithfulnessStep`.
    """
    points = [(0.0, 0.0), *rows.sort("share").select("share", "faithfulness").rows()]
    cpr = cmd = 0.0
    for (low, before), (high, after) in pairwise(points):
        cpr += (high - low) * (before + after) / 2
        cmd += (high - low) * (abs(1 - before) + abs(1 - after)) / 2
    return cpr, cmd
