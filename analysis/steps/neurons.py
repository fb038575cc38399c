"""Importance of FFN neurons in one run (paper section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import LAYER, NAME, NEURON, Column
from analysis.step import Step, Work
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model

IMPORTANCE = Column(
    "importance", pl.Float64, "what the neuron adds to the answer's log-probability", "nats"
)
COEFFICIENT = Column("coefficient", pl.Float64, "its coefficient score m")
TOKENS = Column("tokens", pl.List(pl.String), "tokens its contribution promotes most, best first")


class NeuronsStep(Step):
    """Score every FFN neuron by the log-probability it adds to the answer."""

    kind: Literal["neurons"] = "neurons"
    prompt: Prompt
    top: int | None = Field(default=100, ge=1)
    """How many of the most important to score exactly; None: all."""

    ranked_by: ClassVar[str] = "importance"
    columns: ClassVar[tuple[Column, ...]] = (NAME, LAYER, NEURON, IMPORTANCE, COEFFICIENT, TOKENS)

    @property
    def subject(self) -> str:
        return f"importance · {quoted(self.prompt.prompt)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.neurons import importance_work

        return importance_work(model, self.prompt, self.top)


def quoted(text: str) -> str:
    """A prompt in a title: quoted, on one line."""
    return '"' + text.replace("\n", "⏎") + '"'
