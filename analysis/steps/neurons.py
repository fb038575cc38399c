"""Importance of FFN neurons in one run (paper section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import LAYER, NAME, NEURON, Column
from analysis.options import Option, Typed
from analysis.step import Step, Work
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model

IMPORTANCE = Column(
    "importance", pl.Float64, "what the neuron adds to the answer's log-probability", "nats"
)
COEFFICIENT = Column("coefficient", pl.Float64, "its coefficient score m")
TOKENS = Column("tokens", pl.List(pl.String), "tokens its contribution promotes most, best first")

TOP_OR_ALL = Typed(
    (
        Option("top", "How many rows to find.", int, 100, least=1),
        Option("all", "Score every neuron instead of the top ones.", bool, False),
    ),
    lambda given: None if given["all"] else given["top"],
)
"""How many neurons to score exactly."""


class NeuronsStep(Step):
    """Score every FFN neuron by the log-probability it adds to the answer."""

    kind: Literal["neurons"] = "neurons"
    prompt: Annotated[Prompt, ONE_PROMPT]
    top: Annotated[int | None, TOP_OR_ALL] = Field(default=100, ge=1)
    """How many of the most important to score exactly; None: all."""

    ranked_by: ClassVar[str] = "importance"
    narrow: ClassVar[tuple[str, ...]] = ("name", "importance", "coefficient", "tokens")
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
