"""Cases with a second, corrupt prompt, as token ids: both sides position by position."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import zip_longest
from typing import TYPE_CHECKING

from analysis.errors import InputError
from analysis.model.passes import with_answers
from analysis.model.tokens import Encoded
from analysis.options import naming
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.strips import NO_CORRUPT, Strips, UnequalPrompts

if TYPE_CHECKING:
    from analysis.model.model import Model


def strips(model: Model, prompt: Prompt) -> Strips:
    """Both prompts of a case as the model reads them, and where they differ.

    Raises:
        InputError: there is no corrupt prompt, or one of the two cannot be encoded.
    """
    return _strips(model, *_sides(model, prompt))


def _strips(model: Model, clean: Sequence[int], corrupt: Sequence[int]) -> Strips:
    both = enumerate(zip_longest(clean, corrupt))
    return Strips(
        tuple(map(model.token, clean)),
        tuple(map(model.token, corrupt)),
        tuple(place for place, (one, other) in both if one != other),
    )


def _sides(model: Model, prompt: Prompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if prompt.corrupt is None:
        raise InputError(NO_CORRUPT)
    corrupt = Prompt(prompt=prompt.corrupt, answer=prompt.answer)
    return model.encode(prompt).ids, model.encode(corrupt).ids


def encode_pair(model: Model, prompt: Prompt) -> tuple[Encoded, Encoded]:
    """A case and the same case behind its corrupt prompt, with the tokens of one answer.

    An answer that is not given is the top prediction of the prompt.

    Raises:
        UnequalPrompts: the two have not the same number of tokens.
        InputError: there is no corrupt prompt, or the case cannot be encoded.
    """
    clean, corrupt = _sides(model, prompt)
    if len(clean) != len(corrupt):
        raise UnequalPrompts.of(_strips(model, clean, corrupt))
    (encoded,) = with_answers(model, [prompt])
    return encoded, replace(encoded, ids=corrupt)


def encode_pairs(model: Model, prompts: PromptSet) -> list[tuple[Encoded, Encoded]]:
    """The same for all cases of a set.

    Raises:
        InputError: as of one case, whose number and set are named.
    """
    found = []
    for number, prompt in enumerate(prompts.prompts, start=1):
        named = naming(f"case {number} of {prompts.name}") if len(prompts) > 1 else nullcontext()
        with named:
            found.append(encode_pair(model, prompt))
    return found
