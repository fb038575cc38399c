"""The check made on every load: do the identities the analysis rests on hold in this model?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from analysis.model.info import Parity
from analysis.model.tokens import Encoded
from analysis.model.trace import trace

if TYPE_CHECKING:
    from analysis.model.model import Model

TOLERANCE = 1e-3
"""Errors above this, in float32, are a warning nobody should overlook."""
PACKING_TOLERANCE = 1e-4
"""In float32, in units of the largest logit where that is above 1."""


@torch.no_grad()
def check_parity(model: Model, ids: tuple[int, ...]) -> Parity:
    """Compare hooked with plain computations on one short text.

    Args:
        model: the model just loaded.
        ids: a few token ids to run it on.

    Returns:
        The largest errors of the three identities.
    """
    tokens = torch.tensor([ids], device=model.device)
    plain = model.hf(input_ids=tokens, use_cache=False).logits[0, -1].float()
    run = trace(model, ids)
    readout = run.freeze(model)
    logits = (readout.cap(readout.logits(run.final)) - plain).abs().max().item()
    residual = neurons = 0.0
    for number in range(model.info.layers):
        size = run.leaving[number].abs().max().item() + 1e-12
        parts = run.entering[number] + run.attention[number] + run.ffn[number]
        residual = max(residual, (parts - run.leaving[number]).abs().max().item() / size)
        summed = run.contribution_sum(model, number)
        neurons = max(neurons, (summed - run.ffn[number]).abs().max().item() / size)
    return Parity(logits=logits, residual=residual, neurons=neurons)


@torch.no_grad()
def packs_exactly(model: Model, ids: tuple[int, ...]) -> bool:
    """Whether texts with a common beginning give the same in one sequence as each alone.

    Every position of every text is compared: where a mask goes wrong it may show nearby only.
    """
    half, most = len(ids) // 2, len(ids) - 1
    texts = [ids, ids[:half] + ids[:half], ids[:most] + ids[:1], ids[1:]]
    encoded = [Encoded(text[:1], frozenset(), text[1:] + text[:1]) for text in texts]
    together: list[torch.Tensor] = []
    try:
        for packed in model.packs(encoded):
            _, final = model.run_packed(packed)
            logits = model.logits(final[0, packed.scored])
            together.extend(logits.split(list(packed.lengths)))
    except Exception:  # a model may refuse an explicit mask in any way it likes
        return False
    limit = PACKING_TOLERANCE if model.hf.dtype == torch.float32 else 1e3 * PACKING_TOLERANCE
    for text, found in zip(texts, together, strict=True):
        tokens = torch.tensor([text], device=model.device)
        alone = model.hf(input_ids=tokens, use_cache=False).logits[0].float()
        if (found - alone).abs().max().item() > limit * alone.abs().max().clamp_min(1.0).item():
            return False
    return True
