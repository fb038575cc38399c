"""What was typed beside what the model would say: an answer's rank, and a likelier spelling of it.

A token with a space before it is another token than the one without, and so is one with a capital:
the wrong one of them is measured as readily as the right one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from analysis.errors import InputError
from analysis.model.passes import scored, with_answers
from analysis.model.tokens import Encoded
from analysis.options import naming
from analysis.progress import told
from analysis.tasks.answers import CHECKED, LIKELIER, Spelling, Standing
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

AT_ONCE = 64
"""Cases whose spellings are scored together."""


def standing(model: Model, prompt: Prompt) -> Standing:
    """How the answer of a case stands, be it given or the top prediction.

    Raises:
        InputError: the case cannot be encoded.
    """
    (encoded,) = with_answers(model, [prompt])
    with torch.no_grad():
        _, final = model.run(torch.tensor([encoded.ids], device=model.device))
        logits = model.logits(final[0, -1]).float()
    best = logits[list(encoded.first)].max()
    rank = int((logits > best).sum()) + 1
    if prompt.answers:
        ((prob, rather),) = spellings(model, [prompt])
        return Standing(prompt.answers[0], prob, rank, rather)
    prob = torch.softmax(logits, -1)[encoded.answer_ids[0]].item()
    answer = model.token(encoded.answer_ids[0])
    return Standing(answer, prob, rank, _without_space(model, prompt, answer))


def spellings(model: Model, prompts: Sequence[Prompt]) -> Iterator[tuple[float, Spelling | None]]:
    """The probability of each case's answer, and the likeliest other spelling where it stands out.

    Args:
        model: the model.
        prompts: cases that have answers.
    """
    for start in told(range(0, len(prompts), AT_ONCE), "other spellings of the answers"):
        tried = [
            [(each, model.encode(each)), *_encoded(model, _others(each))]
            for each in prompts[start : start + AT_ONCE]
        ]
        scores = scored(model, [encoded for each in tried for _, encoded in each])
        probs = iter(torch.exp(scores.logprob[0].double()).tolist())
        for each in tried:
            given, *others = [(next(probs), case) for case, _ in each]
            prob, case = max(others, key=lambda one: one[0], default=given)
            stands_out = prob > 0 and prob >= LIKELIER * given[0]
            found = Spelling(case.prompt, case.answers[0], prob) if stands_out else None
            yield given[0], found


def otherwise_spelt(model: Model, prompts: PromptSet) -> dict[int, Standing]:
    """The cases, by their numbers from 1, whose answer the model spells otherwise, of `CHECKED`.

    Raises:
        InputError: one of them cannot be encoded; names it.
    """
    numbered = [
        (number, each) for number, each in enumerate(prompts.prompts[:CHECKED], 1) if each.answers
    ]
    for number, each in numbered if len(prompts) > 1 else ():
        with naming(f"case {number} of {prompts.name}"):
            model.encode(each)
    found = spellings(model, [each for _, each in numbered])
    return {
        number: Standing(case.answers[0], prob, None, rather)
        for (number, case), (prob, rather) in zip(numbered, found, strict=True)
        if rather is not None
    }


def _encoded(model: Model, cases: Iterator[Prompt]) -> Iterator[tuple[Prompt, Encoded]]:
    """Those of some cases that the model can read."""
    for each in cases:
        try:
            yield each, model.encode(each)
        except InputError:
            continue


def _others(prompt: Prompt) -> Iterator[Prompt]:
    """A case with the answer with or without a space and a capital, or without a last space."""
    for answer in prompt.answers:
        plain = answer.lstrip(" ")
        swapped = plain[:1].swapcase() + plain[1:]
        for each in dict.fromkeys((plain, f" {plain}", swapped, f" {swapped}")):
            if each.strip(" ") and each not in prompt.answers:
                yield prompt.model_copy(update={"answer": each})
        if without := _shorter(prompt):
            yield without.model_copy(update={"answer": f" {plain}"})


def _shorter(prompt: Prompt) -> Prompt | None:
    """A prompt that ends with spaces without them; None: it does not, or nothing is left."""
    text = prompt.prompt.rstrip(" ")
    if prompt.messages or text in ("", prompt.prompt):
        return None
    return prompt.model_copy(update={"prompt": text})


def _without_space(model: Model, prompt: Prompt, says: str) -> Spelling | None:
    """How the model goes on without the last space of a prompt, where it does so otherwise."""
    if (shorter := _shorter(prompt)) is None:
        return None
    other = standing(model, shorter)
    if other.answer.strip(" ") in ("", says.strip(" ")):  # it says the space itself, or the same
        return None
    return Spelling(shorter.prompt, other.answer, other.prob)
