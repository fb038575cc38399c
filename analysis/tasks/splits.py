"""Cases to train on, to choose by and to test on: no case is in two of them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet

SHARE = 0.1
"""Of the cases that are chosen by, and of those tested on where no others are given."""


@dataclass(frozen=True)
class Split:
    """Three sets of cases."""

    train: tuple[Prompt, ...]
    validation: tuple[Prompt, ...]
    test: tuple[Prompt, ...]


def split(prompts: PromptSet, test: PromptSet | None, seed: int) -> Split:
    """Draw 80 / 10 / 10 percent of distinct cases, at least one each.

    With a test set of its own all that is not in it is split 90 / 10 for training and validation.

    Args:
        prompts: the cases.
        test: cases to test on; None: some of `prompts`.
        seed: the same one draws the same cases.

    Raises:
        InputError: there are too few cases, or one of them does not say what is right.
    """
    prompts.require_answers()
    held_out: tuple[Prompt, ...] = ()
    if test is not None:
        test.require_answers()
        held_out = tuple(dict.fromkeys(test.prompts))
    texts = {each.prompt for each in held_out}
    cases = [each for each in dict.fromkeys(prompts.prompts) if each.prompt not in texts]
    needed = 3 if test is None else 2
    if len(cases) < needed or (test is not None and not held_out):
        inside = "" if test is None else f" that are not in {test.name}"
        raise InputError(
            f"{prompts.name} has {len(cases)} distinct cases{inside}; training takes at least "
            f"{needed}, to train on, to choose by{' and to test on' if test is None else ''}"
        )
    # A text seeds the same numbers on every machine.
    Random(f"{seed} split").shuffle(cases)
    part = max(1, round(SHARE * len(cases)))
    if test is None:
        held_out, cases = tuple(cases[:part]), cases[part:]
    return Split(tuple(cases[part:]), tuple(cases[:part]), held_out)
