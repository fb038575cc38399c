"""Head sweep: what each attention head is worth on a set of prompts (paper section 3, Table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column
from analysis.interventions import Mode
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.tasks.asking import PROMPTS
from analysis.tasks.metrics import Metric, metric_of, usual_metric
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model


MEASURES = (
    Column("accuracy", pl.Float64, "share of prompts answered right without it", "0 to 1"),
    Column("logprob", pl.Float64, "mean log-probability of the answer without it", "nats"),
    Column("prob", pl.Float64, "mean probability of the answer without it", "0 to 1"),
    Column(
        "logit_difference",
        pl.Float64,
        "mean logit of the answers less that of the wrong ones without it, over the prompts that "
        "have wrong ones",
        "logits",
        later=True,
    ),
    Column(
        "prompt_logprob",
        pl.List(pl.Float32),
        "log-probability of each prompt's answer, in the order of the prompts",
        "nats",
        detail=True,
    ),
    Column(
        "prompt_correct",
        pl.List(pl.Boolean),
        "whether each prompt is answered right, in the order of the prompts",
        detail=True,
    ),
    Column(
        "prompt_logit_difference",
        pl.List(pl.Float32),
        "logit difference of each prompt, in the order of the prompts",
        "logits",
        detail=True,
        later=True,
    ),
)
"""How well a set of prompts is answered with something ablated."""


def measured(columns: tuple[Column, ...], prompts: PromptSet) -> tuple[Column, ...]:
    """Those of some columns that are measured on prompts."""
    if prompts.has_wrong:
        return columns
    return tuple(each for each in columns if not each.name.endswith("logit_difference"))


class HeadsStep(Step):
    """Ablate one head at a time and measure the answers."""

    kind: Literal["heads"] = "heads"
    prompts: Annotated[PromptSet, PROMPTS]
    mode: Mode = Field("zero", description="Replace a head by zero or mean.")
    heads: tuple[HeadRef, ...] | None = Field(None, description="Only these heads, as L20H8,L3H7.")
    metric: Metric | None = Field(
        None,
        description="What they are ranked by: logit_difference, logprob, prob or accuracy; else "
        "the logit difference where all cases have wrong answers, and the log-probability.",
    )

    edition: ClassVar[int] = 1
    newer: ClassVar[tuple[str, ...]] = ("metric",)
    ranked_by: ClassVar[str] = "logprob"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "accuracy", "logprob", "prob", "logit_difference")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the head ablated"),
        Column("layer", pl.Int32, "its layer"),
        Column("head", pl.Int32, "its index in the layer"),
        *MEASURES,
    )

    @property
    def filled(self) -> tuple[Column, ...]:
        """The logit difference only where there are wrong answers."""
        return measured(self.columns, self.prompts)

    @property
    def ordered_by(self) -> Metric:
        """The metric that was asked for, or the usual one of such cases."""
        return self.metric or usual_metric(self.prompts)

    @property
    def subject(self) -> str:
        verb = "zeroing" if self.mode == "zero" else "mean-ablating"
        return f"{self.prompts.title} · {verb} one head at a time"

    def start(self, model: Model) -> Work:
        from analysis.methods.heads import sweep_work

        metric = metric_of(self.prompts, self.ordered_by)
        return sweep_work(model, self.prompts.prompts, self.heads, self.mode, metric)
