"""Results with made-up rows, of steps of several shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from paced_step import PacedStep

from analysis.columns import schema
from analysis.step import Step
from analysis.steps import GainsStep, LensStep
from analysis.tasks.prompts import PromptSet
from screens.workspace import InMemory, Result, State

SENTENCE = ("When", " Mary", " and", " John", " went", " to", " the", " store", ",", " John")
PROMPT = PromptSet.single("".join(SENTENCE), " Mary").prompts[0]


def result(step: Step, rows: Sequence[dict[str, Any]], state: State = "done") -> Result:
    """A result of these rows; what they leave out is null."""
    frame = pl.DataFrame(rows, schema=schema(step.columns))
    return Result(f"001-{step.kind}", step, state, InMemory(frame), expected=len(rows))


def lens(layers: int = 12, state: State = "done", tokens: Sequence[str] = SENTENCE) -> Result:
    """A logit lens that grows surer upwards, and towards the end of the prompt."""
    rows = [
        {
            "name": f"L{layer}@{place}",
            "layer": layer,
            "position": place,
            "reads": reads,
            "token": " the",
            "prob": (layer + 1) / layers * (place + 1) / len(tokens),
            "answer_prob": 0.01 * place,
            "answer_rank": layers - layer,
        }
        for layer in range(layers)
        for place, reads in enumerate(tokens)
    ]
    return result(LensStep(prompt=PROMPT), rows, state)


def gains(layers: int = 12) -> Result:
    """Gains that change their sign from layer to layer."""
    rows = [
        {
            "name": f"L{layer}",
            "layer": layer,
            "attention": math.cos(layer),
            "ffn": -math.cos(layer) / 2,
            "logprob": -2.0 + layer / 10,
        }
        for layer in range(layers)
    ]
    return result(GainsStep(prompt=PROMPT), rows)


def paced(state: State = "done") -> Result:
    """A step that no screen names."""
    rows = [{"name": f"n{number}", "value": number / 4} for number in range(5)]
    return result(PacedStep(), rows, state)
