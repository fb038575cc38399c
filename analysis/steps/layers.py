"""A run layer by layer: what each layer adds to the answer, and what each would say by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl

from analysis.columns import LAYER, Column
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


class GainsStep(Step):
    """Show the log-probability that the attention and the FFN of each layer add to the answer."""

    kind: Literal["gains"] = "gains"
    prompt: Annotated[Prompt, ONE_PROMPT]

    ranked_by: ClassVar[str] = "layer"
    descending: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "attention", "ffn", "logprob")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the layer"),
        LAYER,
        Column("attention", pl.Float64, "what its attention adds to the answer", "nats"),
        Column("ffn", pl.Float64, "what its FFN adds to the answer", "nats"),
        Column("logprob", pl.Float64, "log-probability of the answer after it", "nats"),
    )

    @property
    def subject(self) -> str:
        return f"layer gains · {quoted(self.prompt.prompt)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.layers import gains_work

        return gains_work(model, self.prompt)


class LensStep(Step):
    """Show what every layer would say at every position, and the answer's probability there."""

    kind: Literal["lens"] = "lens"
    prompt: Annotated[Prompt, ONE_PROMPT]

    ranked_by: ClassVar[str] = "layer"
    descending: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = (
        "name",
        "reads",
        "token",
        "prob",
        "answer_prob",
        "answer_rank",
    )
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "layer and position"),
        LAYER,
        Column("position", pl.Int32, "place in the prompt, from 0"),
        Column("reads", pl.String, "the prompt's token there"),
        Column("token", pl.String, "what the layer would say next"),
        Column("prob", pl.Float64, "probability of that token", "0 to 1"),
        Column("answer_prob", pl.Float64, "probability of the answer", "0 to 1"),
        Column("answer_rank", pl.Int32, "place of the answer, 1 is the most probable"),
    )

    @property
    def subject(self) -> str:
        return f"logit lens · {quoted(self.prompt.prompt)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.layers import lens_work

        return lens_work(model, self.prompt)
