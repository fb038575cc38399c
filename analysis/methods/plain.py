"""The plain way: one hooked forward an ablation, prompts in batches of equal length.

It is the second computation that the fast paths are checked against and timed beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.interventions import Intervention
from analysis.model.forward import before, intervening
from analysis.model.packing import side_by_side, wanted
from analysis.model.scoring import Scores, per_prompt, score_tokens
from analysis.model.tokens import Encoded
from analysis.progress import checkpoint
from analysis.refs import HeadRef

if TYPE_CHECKING:
    from analysis.model.model import Model


@torch.no_grad()
def plain_scores(
    model: Model,
    encoded: Sequence[Encoded],
    heads: Sequence[HeadRef],
    means: Mapping[int, Tensor] | None = None,
) -> Scores:
    """Scores [1, P] of the model with these heads ablated together."""
    return intervened_scores(model, encoded, [Intervention(heads=tuple(heads))], means)


@torch.no_grad()
def intervened_scores(
    model: Model,
    encoded: Sequence[Encoded],
    interventions: Sequence[Intervention],
    means: Mapping[int, Tensor] | None = None,
) -> Scores:
    """Scores [1, P] of the model with these interventions."""
    logprob = torch.zeros(1, len(encoded))
    correct = torch.zeros(1, len(encoded), dtype=torch.bool)
    with intervening(model.parts, interventions, means):
        for places, tokens, answers in batches(model, encoded):
            checkpoint()
            keep = answers.shape[1]
            output = model.hf(input_ids=tokens, use_cache=False, logits_to_keep=keep + model.behind)
            logits = output.logits[:, -keep - model.behind :][:, :keep]
            scored, matched = score_tokens(logits, answers)
            row = per_prompt(scored.flatten()[None], matched.flatten()[None], [keep] * len(places))
            logprob[:, places] = row.logprob
            correct[:, places] = row.correct
    return Scores(logprob, correct)


@torch.no_grad()
def head_means(model: Model, encoded: Sequence[Encoded]) -> dict[int, Tensor]:
    """Mean input of each layer's attention output projection over every token of the prompts.

    Returns:
        For each layer [H · head width] float32.
    """
    total: dict[int, Tensor] = {}
    count = 0

    def add(number: int) -> Callable[[Tensor], None]:
        def to_total(x: Tensor) -> None:
            total[number] = total.get(number, 0) + x.float().flatten(0, -2).sum(0)

        return to_total

    with ExitStack() as stack:
        for number, layer in enumerate(model.parts.layers):
            stack.enter_context(before(layer.attention_out, add(number)))
        for _, tokens, _ in batches(model, encoded):
            checkpoint()
            model.run(tokens)
            count += tokens.numel()
    return {number: each / count for number, each in total.items()}


BATCH_TOKENS = 8_192


def batches(model: Model, encoded: Sequence[Encoded]) -> list[tuple[list[int], Tensor, Tensor]]:
    """Prompts of equal length together: places, tokens [b, n], answers [b, t, a]."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, each in enumerate(encoded):
        groups.setdefault((len(each.ids), len(each.answer_ids)), []).append(place)
    batches = []
    for (length, _), places in groups.items():
        size = max(1, BATCH_TOKENS // length)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            tokens = [encoded[i].read(model.behind) for i in some]
            answers = side_by_side([each for i in some for each in wanted(encoded[i])])
            batches.append(
                (
                    some,
                    torch.tensor(tokens, device=model.device),
                    answers.reshape(len(some), -1, answers.shape[-1]).to(model.device),
                )
            )
    return batches
