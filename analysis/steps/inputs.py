"""Which tokens of a prompt an answer comes from: gradient × input, integrated gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from analysis.columns import Column
from analysis.shapes import Shape
from analysis.step import Step, Work
from analysis.steps.neurons import quoted
from analysis.tasks.asking import ONE_PROMPT
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model


class InputsStep(Step):
    """Show what each token of a prompt adds to the logit difference, or to the answer.

    Without a wrong answer that is to the answer's log-probability. Integrated gradients sum to the
    difference from a baseline input, up to what the record says is left open.
    """

    kind: Literal["inputs"] = "inputs"
    prompt: Annotated[Prompt, ONE_PROMPT]
    steps: int = Field(400, ge=17, description="Gradients on the way from there, at most.")

    command: ClassVar[bool] = False
    ranked_by: ClassVar[str] = "position"
    descending: ClassVar[bool] = False
    brief: ClassVar[bool] = False
    narrow: ClassVar[tuple[str, ...]] = ("name", "token", "integrated", "gradient_input")
    columns: ClassVar[tuple[Column, ...]] = (
        Column("name", pl.String, "the position"),
        Column("position", pl.Int32, "place in the prompt, from 0", wide=True),
        Column("token", pl.String, "the prompt's token there"),
        Column("integrated", pl.Float64, "its integrated gradients, from the baseline input on"),
        Column("gradient_input", pl.Float64, "the gradient at its embedding times that"),
    )

    @property
    def shape(self) -> Shape:
        """Values along the prompt, each with a bar."""
        return "curve"

    @property
    def subject(self) -> str:
        return f"prompt tokens · {quoted(self.prompt.prompt)}"

    def start(self, model: Model) -> Work:
        from analysis.methods.inputs import inputs_work

        return inputs_work(model, self.prompt, self.steps)
