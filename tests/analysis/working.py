"""Running steps in tests."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import polars as pl

from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from plainly import Plainly
    from torch import Tensor, nn

    from analysis.changes import Changes
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded
    from analysis.step import Step

PROMPTS = PromptSet(
    name="mixed",
    prompts=(
        Prompt(prompt="2 + 3 = ", answer="5"),
        Prompt(prompt="2 + 3 = ", answer="5 + 7"),
        Prompt(prompt="2 + 31 = ", answer="33"),
        Prompt(prompt="the sum of one and two is ", answer="three"),
        Prompt(prompt="the sum of 9 and ", answer=None),
        Prompt(prompt="Q"),
    ),
)
"""Different lengths, common beginnings, answers of one token, of several, and of the model's."""


def rows(step: Step, model: Model, done: Collection[str] = ()) -> pl.DataFrame:
    """All rows of a step in the order they arrive."""
    return pl.concat(list(step.run(model, done)))


def encoded(model: Model, prompts: PromptSet = PROMPTS) -> list[Encoded]:
    return [model.encode(prompt) for prompt in prompts.prompts]


def weights(hf: nn.Module) -> dict[str, Tensor]:
    """A copy of all weights of a model."""
    return {name: value.clone() for name, value in hf.state_dict().items()}


def scaled(plain: Plainly, changes: Changes) -> Plainly:
    """A copy of a model whose weights are changed for real."""
    heads, neurons = (
        {(part.layer, part.index): factor for part, factor in changes.factors if part in parts}
        for parts in (changes.heads, changes.neurons)
    )
    return plain.scaled(heads, neurons)
