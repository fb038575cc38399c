"""What runs are measured by: chosen once for a step, and said in its record."""

from __future__ import annotations

from typing import Literal, TypeAlias

from analysis.errors import InputError
from analysis.tasks.prompts import PromptSet

Metric: TypeAlias = Literal["logit_difference", "logprob", "prob", "accuracy"]
"""`logit_difference`: the mean logit of the answers' first tokens less that of the wrong ones',
behind the prompt. The others are of the whole answer, given the prompt."""


def metric_of(prompts: PromptSet, asked: Metric | None) -> Metric:
    """The metric of some cases; the logit difference where nothing else is asked for and all have
    wrong answers, the log-probability where none has.

    Raises:
        InputError: a case has no wrong answer where one is needed, or only some have and nobody
            says what to measure.
    """
    numbered = enumerate(prompts.prompts, start=1)
    without = [number for number, each in numbered if not each.wrongs]
    if asked is None and len(without) == len(prompts):
        return "logprob"
    if without and asked in (None, "logit_difference"):
        case = "the case" if len(prompts) == 1 else f"case {without[0]} of {prompts.name}"
        instead = "" if asked is not None else ", or choose --metric logprob for all"
        raise InputError(
            f"{case} has no wrong answer to measure a logit difference by; give one{instead}"
        )
    return asked or "logit_difference"


def usual_metric(prompts: PromptSet) -> Metric:
    """The logit difference where all cases have wrong answers, else the log-probability."""
    return "logit_difference" if all(each.wrongs for each in prompts.prompts) else "logprob"
