"""Pruning the deep FFN to the neurons that CNA finds (paper section 6.1, Table 11)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.changing.tuning import TUNING, Tuning
from analysis.columns import CONTROL_NOTE, Column
from analysis.errors import InputError
from analysis.options import SEED, Option, single
from analysis.refs import HeadRef
from analysis.step import Step, Work
from analysis.tasks.asking import CASES_OF_A_TASK, CASES_TO_TEST
from analysis.tasks.prompts import PromptSet, Split, split

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

FROM_LAYER = Option(
    "from_layer", "The lowest layer that is pruned; else the head's own.", int, least=0
)
COMPARE = Option("compare", "Find neurons on so many training cases at most.", int, least=1)
LORA_LAYER = Option("lora_layer", "Train LoRA on this layer's attention on top.", int, least=0)


class PruneStep(Step):
    """Keep the deep FFN neurons that matter for any case and zero the others.

    A case's neurons are its CNA top ones: of the adapted against the original model, or of the
    intact model against one with a head zeroed. Where neither is given, an adapter is trained
    first. The pruned model stands beside one that keeps as many other neurons of each layer, drawn
    at random; on both LoRA can be trained.
    """

    kind: Literal["prune"] = "prune"
    prompts: Annotated[PromptSet, CASES_OF_A_TASK]
    head: HeadRef | None = Field(
        None, description="Neurons by CNA of the intact model against it zeroed."
    )
    adapter: Path | None = Field(
        None, description="Neurons by CNA of this adapter against the original."
    )
    top: int = Field(500, ge=1, description="Neurons of each case.")
    """Of all layers; those of the deep ones are kept."""
    from_layer: Annotated[int, single(FROM_LAYER)] = Field(ge=0)
    """The lowest of the deep layers."""
    cases: Annotated[int | None, single(COMPARE)] = Field(default=None, ge=1)
    """Compare at most so many of the training cases; None: all."""
    layer: Annotated[int | None, single(LORA_LAYER)] = Field(default=None, ge=0)
    """Train LoRA on this layer's attention on top; None: train nothing."""
    tuning: Annotated[Tuning, TUNING] = Tuning()
    test: Annotated[PromptSet | None, CASES_TO_TEST] = None
    """Cases to test on; None: a tenth of `prompts`."""
    seed: Annotated[int, SEED] = 0

    key: ClassVar[str] = "name"
    ranked_by: ClassVar[str] = "name"
    brief: ClassVar[bool] = False
    does: ClassVar[str] = "pruned"
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "neurons",
        "kept",
        "accuracy",
        "train_accuracy",
        "logprob",
        "parameters",
        "seconds",
        "difference",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "which model, or which compared case"),
        Column("neurons", pl.Int64, "deep FFN neurons it has, or the case needs"),
        Column("kept", pl.Float64, "share of the whole model's", "0 to 1"),
        Column("accuracy", pl.Float64, "share of test cases right", "0 to 1"),
        Column("logprob", pl.Float64, "mean log-probability of the tests' answers", "nats"),
        Column("train_accuracy", pl.Float64, "share of training cases right", "0 to 1"),
        Column("rate", pl.Float64, "learning rate, where LoRA was trained"),
        Column("epoch", pl.Int32, "epoch, where LoRA was trained"),
        Column("parameters", pl.Int64, "parameters in that form, where both are measured"),
        Column("bytes", pl.Int64, "what they take in memory", "bytes"),
        Column("seconds", pl.Float64, "forward pass of 256 tokens", "s", repeats=False),
        Column(
            "difference",
            pl.Float64,
            "largest difference of a logit from the masked form, relative to the largest logit",
        ),
        Column("prompt_correct", pl.List(pl.Boolean), "of each test case", detail=True),
        Column("prompt_logprob", pl.List(pl.Float64), "of each test case", "nats", detail=True),
        Column("kept_neurons", pl.List(pl.String), "those deep neurons", detail=True),
        CONTROL_NOTE,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_the_head_up(cls, fields: Any) -> Any:
        """Where nothing is said of the lowest layer, it is that of the head."""
        if isinstance(fields, dict) and fields.get("from_layer") is None:
            if fields.get("head") is None:
                raise ValueError("name a head, or a layer for LoRA and one to prune from")
            fields = {**fields, "from_layer": HeadRef.parse(str(fields["head"])).layer}
        return fields

    @model_validator(mode="after")
    def _usable(self) -> PruneStep:
        assert self.split
        if self.head is not None and self.adapter is not None:
            raise ValueError("give a head or an adapter to compare with, not both")
        if self.head is None and self.adapter is None and self.layer is None:
            raise ValueError(
                "give a head, an adapter, or a layer to train LoRA on: without one there are no "
                "two runs to compare"
            )
        return self

    @property
    def split(self) -> Split:
        """The cases to find neurons and train on, to choose by and to test on."""
        return split(self.prompts, self.test, self.seed)

    @property
    def forms(self) -> tuple[str, ...]:
        """The rows of models: which are measured, in order."""
        adapted = self.head is None
        trained = self.layer is not None
        return (
            "original",
            *(("LoRA",) if adapted else ()),
            "pruned",
            "pruned, compact",
            *(("pruned + LoRA",) if trained else ()),
            "random",
            *(("random + LoRA",) if trained else ()),
        )

    @property
    def subject(self) -> str:
        by = self.head or (self.adapter.name if self.adapter else f"LoRA on L{self.layer}")
        return (
            f"{self.prompts.title} · FFN from layer {self.from_layer} pruned to the top "
            f"{self.top} of {by}"
        )

    def check(self, model: ModelInfo) -> None:
        """Refuse a head, layers and a number of neurons that the model has not."""
        if self.head is not None:
            model.check_head(self.head)
        model.check_layer(self.from_layer, "--from-layer")
        if self.layer is not None:
            model.check_layer(self.layer, "--lora-layer")
        if self.top > (total := model.neurons * model.layers):
            raise InputError(
                f"--top {self.top:,} is more than the {total:,} neurons of {model.name}"
            )

    def start(self, model: Model) -> Work:
        from analysis.changing.prune import prune_work

        return prune_work(
            model,
            self.split,
            self.forms,
            self.from_layer,
            self.top,
            self.head,
            self.adapter,
            self.cases,
            self.layer,
            self.tuning,
            self.seed,
        )

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The models in the order they are measured, then the cases."""
        places = {name: place for place, name in enumerate(self.forms)}
        return rows.sort(
            pl.col("name").replace_strict(places, default=len(places)), maintain_order=True
        )

    def finished(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of models, without those of the compared cases."""
        return rows.filter(pl.col("name").is_in(self.forms))

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The models, without the compared cases."""
        return super().shown(self.finished(rows))

    def summary(self, rows: pl.DataFrame) -> str:
        """How much smaller and faster the pruned model is."""
        by_name = {row["name"]: row for row in rows.to_dicts()}
        whole, small = by_name.get("pruned"), by_name.get("pruned, compact")
        if whole is None or small is None or not small["seconds"]:
            return ""
        return (
            f"compact form: {small['parameters'] / whole['parameters']:.1%} of the parameters, "
            f"{whole['seconds'] / small['seconds']:.2f} times as fast, logits within "
            f"{small['difference']:.1e}"
            + (f"; {note}" if (note := by_name.get("random", {}).get("control_note")) else "")
        )
