"""Which spelling of an answer the model says rather than the one that is measured, in words."""

from __future__ import annotations

from analysis.tasks.answers import CHECKED, Spelling, Standing
from analysis.tasks.prompts import Prompt, PromptSet
from screens.text import visible


def rather(prompt: Prompt, found: Standing) -> str:
    """What the model says rather than the answer of a case; empty where it does not."""
    if found.rather is None:
        return ""
    shorter = found.rather.prompt != prompt.prompt
    begins = "the prompt ends with a space; without it the model" if shorter else "the model"
    return f"{begins} says {_said(found.rather)} rather than {_said(found)}"


def of_set(found: dict[int, Standing], prompts: PromptSet) -> str:
    """How many cases of a set, of those that were looked at, the model spells otherwise."""
    number, first = next(iter(found.items()))
    cases = len(prompts)
    of = f"the first {CHECKED:,}" if cases > CHECKED else f"{cases:,}"
    return (
        f"in {len(found):,} of {of} cases the model says another spelling than the answer, "
        f"first in case {number}: {rather(prompts.prompts[number - 1], first)}"
    )


def _said(spelling: Spelling | Standing) -> str:
    return f"{visible(spelling.answer)} (P = {spelling.prob:.3g})"
