"""Activation patching: which units carry the difference between two prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field, model_validator

from analysis.columns import Column
from analysis.errors import InputError
from analysis.options import Option, single
from analysis.refs import HeadRef, NeuronRef
from analysis.shapes import Shape
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import PAIRS_OF_PROMPTS
from analysis.tasks.metrics import Metric
from analysis.tasks.prompts import PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

Unit = Literal["residual", "attention", "ffn", "head", "neuron"]
Positions = Literal["each", "all"] | tuple[int, ...]
UNITS: dict[Unit, str] = {
    "residual": "the residual stream",
    "attention": "attention's output",
    "ffn": "the FFN's output",
    "head": "heads",
    "neuron": "neurons",
}


def parse_positions(text: str) -> Positions:
    """Read `each`, `all` or positions joined by commas, negative ones from the end.

    Raises:
        InputError: it is none of these.
    """
    if text in ("each", "all"):
        return text  # type: ignore[return-value]
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError:
        raise InputError(f"{text}: give each, all, or positions as 0,3,-1") from None


POSITIONS = Option(
    "positions",
    "Where: each, all at once, or some as 0,3,-1; else each of residual, attention and ffn, all of "
    "heads and neurons.",
    names=lambda: ("each", "all"),
)


def on_pairs(prompts: PromptSet) -> str:
    """The two prompts of a case, or what people call a set of such cases."""
    if len(prompts) > 1:
        return prompts.title
    (case,) = prompts.prompts
    return f"{quoted(case.prompt)} against {quoted(case.corrupt or '')}"


class PatchStep(Step):
    """Put units of the clean run into the corrupt one, and see what of the answer comes back."""

    kind: Literal["patch"] = "patch"
    prompts: Annotated[PromptSet, PAIRS_OF_PROMPTS]
    unit: Unit = Field(
        "residual",
        description="What is patched: residual (the stream entering a layer), attention or ffn "
        "(what it adds to the stream), head or neuron.",
    )
    positions: Annotated[Positions | None, single(POSITIONS, parse_positions)] = None
    noising: bool = Field(
        False, description="Put corrupt values into the clean run, and see what is lost."
    )
    metric: Metric | None = Field(
        None,
        description="What runs are measured by: logit_difference, logprob, prob or accuracy; else "
        "the logit difference where there are wrong answers, the log-probability where none is.",
    )
    heads: tuple[HeadRef, ...] | None = Field(None, description="Only these heads, as L20H8,L3H7.")
    neurons: tuple[NeuronRef, ...] | None = Field(
        None, description="Only these neurons, as L24N1493."
    )
    top: int = Field(100, ge=1, description="How many neurons, those of largest estimate.")

    ranked_by: ClassVar[str] = "recovered"
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "token", "recovered", "metric")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "what is patched, and at which position"),
        Column("unit", pl.String, "residual, attention, ffn, head or neuron"),
        Column("layer", pl.Int32, "its layer"),
        Column("head", pl.Int32, "the head's index in the layer"),
        Column("neuron", pl.Int32, "the neuron's index in the layer"),
        Column("position", pl.Int32, "place in the prompt, from 0; none: all at once"),
        Column("token", pl.String, "the prompt's token there"),
        Column(
            "recovered",
            pl.Float64,
            "share of the difference between the two runs that the patch brings back, or with "
            "noising takes away",
        ),
        Column("metric", pl.Float64, "the metric of the patched run"),
        Column(
            "case_metric",
            pl.List(pl.Float64),
            "the metric of each case, in the order of the record's case_numbers",
            detail=True,
        ),
    )

    @model_validator(mode="after")
    def _parts_of_the_unit(self) -> PatchStep:
        for unit, named in (("head", self.heads), ("neuron", self.neurons)):
            if named is not None and self.unit != unit:
                raise ValueError(
                    f"{unit}s are named, but the unit is {self.unit}; give --unit {unit}"
                )
        return self

    @property
    def all_at_once(self) -> bool:
        """Whether a unit is patched at all positions together."""
        return (self.positions or ("all" if self.unit in ("head", "neuron") else "each")) == "all"

    @property
    def filled(self) -> tuple[Column, ...]:
        """Of head and neuron the one that the unit has."""
        others = {"head", "neuron"} - {self.unit}
        return tuple(each for each in self.columns if each.name not in others)

    @property
    def shape(self) -> Shape:
        """A map of layers and positions, or of heads, or a ranking of neurons."""
        if self.unit == "neuron":
            return "neurons"
        if self.unit == "head":
            return "heads" if self.all_at_once else "table"
        return "curve" if self.all_at_once else "positions"

    @property
    def subject(self) -> str:
        into = "corrupt into clean" if self.noising else "clean into corrupt"
        count = f"the top {self.top} " if self.unit == "neuron" and self.neurons is None else ""
        return f"patching {count}{UNITS[self.unit]}, {into} · {on_pairs(self.prompts)}"

    def shown(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Without a token where there is none: at all positions at once."""
        table = super().shown(rows)
        return table.drop("token") if self.all_at_once else table

    def start(self, model: Model) -> Work:
        from analysis.methods.patching import patch_work

        return patch_work(
            model,
            self.prompts,
            self.unit,
            self.positions,
            self.noising,
            self.metric,
            self.heads if self.unit == "head" else self.neurons,
            self.top,
        )
