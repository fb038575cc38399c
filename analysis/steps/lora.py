"""LoRA on the attention of one layer after the other (paper section 5, Fig. 2, Tables 9 and 10)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import polars as pl
from pydantic import Field, field_validator, model_validator

from analysis.changing.tuning import TOPS, TUNING, Tuning
from analysis.columns import CONTROL_NOTE, LAYER, Column
from analysis.options import REQUIRED, SEED, Given, Option, single
from analysis.refs import NeuronRef, parse_layers
from analysis.step import Step, Work
from analysis.tasks.asking import CASES_OF_A_TASK, CASES_TO_TEST
from analysis.tasks.prompts import PromptSet, Split, split

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model

_RISES = tuple(
    column
    for top in TOPS
    for column in (
        Column(
            f"increase_{top}",
            pl.Float64,
            f"share by which coefficients of the top {top} neurons rise under the adapter, mean "
            "over the compared cases: Σ sign(m)·m′ / Σ |m| − 1",
            wide=True,
        ),
        Column(
            f"increase_{top}_random",
            pl.Float64,
            "the same of as many random ones a layer",
            wide=True,
        ),
    )
)

LAYERS = Option("layers", "3,9,20 or 0-29: one adapter each.", default=REQUIRED)
COMPARE = Option(
    "compare",
    "Measure on so many test cases how far the adapter raises neurons' coefficients.",
    int,
    0,
    least=0,
)


class LoraStep(Step):
    """Train LoRA adapters on attention and test them beside the original model.

    One adapter on one layer at a time, or one on all the given layers together. Every learning rate
    is trained; accuracy on the validation cases, then their loss, choose among rates and epochs.
    """

    kind: Literal["lora"] = "lora"
    prompts: Annotated[PromptSet, CASES_OF_A_TASK]
    layers: Annotated[tuple[int, ...], single(LAYERS, parse_layers)] = Field(min_length=1)
    together: bool = Field(False, description="One adapter on all the layers instead.")
    test: Annotated[PromptSet | None, CASES_TO_TEST] = None
    """Cases to test on; None: a tenth of `prompts`."""
    tuning: Annotated[Tuning, TUNING] = Tuning()
    compared: PromptSet | None = None
    """Cases on which neurons of the original and the adapted model are compared, by CNA."""
    watched: tuple[NeuronRef, ...] = ()
    """Neurons whose coefficients are kept, of the first compared case."""
    seed: Annotated[int, SEED] = 0
    """Of the split, the order of cases, the adapters' first weights and the random neurons."""
    out: Path | None = Field(None, description="Keep the adapters in DIR; else in the session.")

    ranked_by: ClassVar[str] = "layer"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    also: ClassVar[tuple[Option, ...]] = (COMPARE,)
    does: ClassVar[str] = "trained"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the layer; with learning rate and epoch while it is trained"),
        replace(LAYER, wide=True),
        Column("rate", pl.Float64, "learning rate; of a finished layer the chosen one"),
        Column("epoch", pl.Int32, "epoch, from 1; of a finished layer the chosen one"),
        Column("train_loss", pl.Float64, "mean over the epoch's answer tokens", "nats"),
        Column("validation_loss", pl.Float64, "mean over answer tokens", "nats", wide=True),
        Column("validation_accuracy", pl.Float64, "share of validation cases right", "0 to 1"),
        Column("seconds", pl.Float64, "time it took", "s", wide=True, repeats=False),
        Column("accuracy", pl.Float64, "share of test cases right; finished layers", "0 to 1"),
        Column("original_accuracy", pl.Float64, "the same without the adapter", "0 to 1"),
        Column(
            "logprob", pl.Float64, "mean log-probability of the tests' answers", "nats", wide=True
        ),
        Column("adapter", pl.String, "name of the adapter's folder"),
        *_RISES,
        Column("prompt_correct", pl.List(pl.Boolean), "of each test case", detail=True),
        Column("prompt_logprob", pl.List(pl.Float64), "of each test case", "nats", detail=True),
        *(
            Column(f"case_{column.name}", pl.List(pl.Float64), "of each compared case", detail=True)
            for column in _RISES
        ),
        *(
            Column(
                f"drawn_{top}",
                pl.List(pl.String),
                "the random ones of each compared case",
                detail=True,
                later=True,
            )
            for top in TOPS
        ),
        CONTROL_NOTE,
        Column("watched_coefficient", pl.List(pl.Float64), "of watched neurons", detail=True),
        Column("watched_original", pl.List(pl.Float64), "without the adapter", detail=True),
    )

    @field_validator("layers")
    @classmethod
    def _each_once(cls, layers: tuple[int, ...]) -> tuple[int, ...]:
        if min(layers) < 0:
            raise ValueError(f"layer {min(layers)}: layers count from 0")
        return tuple(sorted(set(layers)))

    @model_validator(mode="after")
    def _usable(self) -> LoraStep:
        assert self.split
        if self.watched and self.compared is None:
            raise ValueError("neurons can be watched where cases are compared; give some")
        return self

    @property
    def split(self) -> Split:
        """The cases to train on, to choose by and to test on."""
        return split(self.prompts, self.test, self.seed)

    @property
    def adapters(self) -> dict[str, tuple[int, ...]]:
        """Names of the adapters, as `L9` or `L0-29`, with the layers that each is on."""
        if not self.together:
            return {f"L{layer}": (layer,) for layer in self.layers}
        first, last = self.layers[0], self.layers[-1]
        whole = len(self.layers) > 2 and self.layers == tuple(range(first, last + 1))
        return {f"L{first}-{last}" if whole else "L" + "+".join(map(str, self.layers)): self.layers}

    @property
    def subject(self) -> str:
        names = [*self.adapters]
        named = names[0] if len(names) == 1 else f"{len(names)} layers, one at a time"
        return f"{self.prompts.title} · LoRA on {named}"

    def check(self, model: ModelInfo) -> None:
        """Refuse layers that the model has not."""
        for layer in self.layers:
            model.check_layer(layer)

    def start(self, model: Model) -> Work:
        from analysis.changing.lora import lora_work

        return lora_work(
            model,
            self.adapters,
            self.split,
            self.tuning,
            self.seed,
            self.compared,
            self.watched,
            self.out,
            cases=self.prompts.title,
            recipe=self.model_dump_json(exclude={"out", "layers"}),
        )

    def ranked(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Layer by layer, a finished one before its epochs."""
        return rows.sort(
            ["layer", pl.col("adapter").is_null(), "rate", "epoch"],
            descending=[False, False, True, False],
        )

    @classmethod
    def asked(cls, given: Given) -> tuple[Self, ...]:
        """The step, which compares as many of its test cases as was asked for."""
        (step,) = super().asked(given)
        if not given["compare"]:
            return (step,)
        compared = step.split.test[: given["compare"]]
        chosen = PromptSet(name=f"{step.prompts.name} test", prompts=compared)
        return (step.model_copy(update={"compared": chosen}),)

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Finished adapters, with what they raise where that was compared."""
        raised = () if self.compared is None else ("increase_50", "increase_10")
        return self.finished(rows).select(
            "name",
            "accuracy",
            "original_accuracy",
            "rate",
            "epoch",
            *raised,
            "seconds",
            "adapter",
        )

    def summary(self, rows: pl.DataFrame) -> str:
        """The best adapter beside the original model, if any beats it."""
        finished = self.finished(rows).sort("accuracy", "layer", descending=[True, False])
        if not finished.height:
            return ""
        best = finished.row(0, named=True)
        reached = f"best: {best['name']} {best['accuracy']:.1%} of the test cases"
        if best["accuracy"] > best["original_accuracy"]:
            return f"{reached}, original {best['original_accuracy']:.1%}"
        what = "adapter" if self.together else "layer"
        return f"no {what} beats the original's {best['original_accuracy']:.1%}; {reached}"

    @staticmethod
    def finished(rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of finished adapters, without those of their epochs."""
        return rows.filter(pl.col("adapter").is_not_null())
