"""A case as the model reads it, with what it would say next: shown beside what is typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.tasks.answers import Standing
from analysis.tasks.prompts import Prompt
from analysis.tasks.strips import UnequalPrompts
from screens.workspace import CorruptReading, Reading

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.model.model import Model
    from analysis.model.tokens import Encoded

PREDICTIONS = 6


def read_prompt(model: Model, prompt: Prompt) -> Reading:
    """Tokenise a case and predict what follows its prompt, and its corrupt prompt if it has one.

    Raises:
        InputError: it cannot be encoded.
    """
    from analysis.methods.spelling import standing
    from analysis.model.passes import with_answers

    given = model.encode(prompt)
    (encoded,) = with_answers(model, [prompt])
    logits = _next(model, encoded.ids)
    return Reading(
        prompt,
        tokens=tuple(model.token(token) for token in encoded.ids),
        special=encoded.special,
        answer=tuple(model.token(each) for each in (*given.first, *given.answer_ids[1:])),
        predictions=_predictions(model, logits),
        standing=standing(model, prompt),
        wrong=tuple(model.token(each) for each in encoded.wrong),
        against=_against(prompt, encoded, logits),
        difference=_difference(encoded, logits),
        corrupt=None if prompt.corrupt is None else _corrupt(model, prompt, encoded),
    )


def _next(model: Model, ids: tuple[int, ...]) -> Tensor:
    """Logits [V] of what follows, in float32."""
    import torch

    with torch.no_grad():
        _, final = model.run(torch.tensor([ids], device=model.device))
        return model.logits(final[0, -1]).float()


def _predictions(model: Model, logits: Tensor) -> tuple[tuple[str, float], ...]:
    chances = logits.softmax(-1).topk(PREDICTIONS)
    both = zip(chances.indices.tolist(), chances.values.tolist(), strict=True)
    return tuple((model.token(token), chance) for token, chance in both)


def _difference(encoded: Encoded, logits: Tensor) -> float | None:
    """The answers' mean logit less the wrong ones'; None: there is no wrong one."""
    if not encoded.wrong:
        return None
    return float(logits[list(encoded.first)].mean() - logits[list(encoded.wrong)].mean())


def _against(prompt: Prompt, encoded: Encoded, logits: Tensor) -> Standing | None:
    """How the wrong answers stand; None: there are none."""
    if not encoded.wrong:
        return None
    wrong = list(encoded.wrong)
    rank = int((logits > logits[wrong].max()).sum()) + 1
    return Standing(prompt.wrongs[0], float(logits.softmax(-1)[wrong].sum()), rank, None)


def _corrupt(model: Model, prompt: Prompt, encoded: Encoded) -> CorruptReading:
    """The other side of a case, where the answer and the wrong one are the same."""
    from analysis.model.pairs import strips

    found = strips(model, prompt)
    corrupt = model.encode(Prompt(prompt=prompt.corrupt or "", answer=prompt.answer))
    logits = _next(model, corrupt.ids)
    fits = found.equally_long
    return CorruptReading(
        found.corrupt,
        found.differing,
        _predictions(model, logits),
        difference=_difference(encoded, logits) if fits else None,
        refused="" if fits else str(UnequalPrompts.of(found)),
    )
