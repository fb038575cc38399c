"""How an answer that was given stands with the model, and whether cases can show anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.tasks.prompts import PromptSet

LIKELIER = 10.0
"""How many times likelier another spelling is that is worth a word."""
CHECKED = 256
"""Cases of a set whose spelling is looked at: so many tell how it writes its answers."""


@dataclass(frozen=True)
class Spelling:
    """A case as it could be written instead."""

    prompt: str
    answer: str
    prob: float


@dataclass(frozen=True)
class Standing:
    """How an answer stands with the model as it is."""

    answer: str
    """As it was given, of several the first; else the model's own top prediction."""
    prob: float
    """Of the whole answer, or of any of several."""
    rank: int | None
    """Of its first token among all that could follow, from 1; None: nobody asked."""
    rather: Spelling | None
    """What the model says rather, if it is at least `LIKELIER` times as likely."""


def doubt(correct: Sequence[bool], prompts: PromptSet | None) -> str | None:
    """Why an ablation says little on cases that the intact model does not know, if it does not.

    Args:
        correct: which of the cases the intact model answers right.
        prompts: the cases, whose answers say what guessing would come to.
    """
    cases, right = len(correct), sum(correct)
    answers = {each.answer for each in prompts.prompts} if prompts is not None else {None}
    guessed = 0.0 if None in answers or len(answers) < 2 else cases / len(answers)
    if cases < 2 or 0 < right >= guessed:
        return None
    beside = f", a guess among their {len(answers)} answers {guessed:.3g}" if right else ""
    return (
        f"the intact model answers {right} of {cases} cases right{beside}; what a part does to the "
        "answers says little here"
    )
