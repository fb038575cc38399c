"""Which tokens a vector promotes more than the neurons of its layer do: a reading without junk.

With tied embeddings the rarest tokens have the largest logits under nearly every vector. Beside
what all neurons of a layer say of a token, what one says of it stands out where it is its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attention import transform
from analysis.model.parts import Norm
from analysis.progress import checkpoint, tell

if TYPE_CHECKING:
    from analysis.model.model import Model

AT_ONCE = 2**24
"""Logits of neurons that are computed together."""


@dataclass(frozen=True)
class _Usual:
    """What the neurons of a layer say of each token: [V] float32."""

    mean: Tensor
    deviation: Tensor


@torch.no_grad()
def specific(
    model: Model, vector: Tensor, layer: int, through: int | None = None, by: int | None = None
) -> Tensor:
    """The z-score of each token's logit under a vector over those under all neurons of a layer.

    Every vector is read with its own norm, so its length does not count, while its sign does.

    Args:
        model: the model.
        vector: [d] what is read, behind the attention layer it is passed through.
        layer: whose neurons it is compared with.
        through: attention layer that they are passed through too.
        by: only this head of that layer.

    Returns:
        [V] float32.
    """
    known = model.once(_nothing_yet)
    key = layer, through, by
    if key not in known:
        known[key] = _usual(model, layer, through, by)
    usual = known[key]
    embedding = model.parts.unembedding_weight.float()
    return (_logits(model.final_norm, embedding, vector) - usual.mean) / usual.deviation


def _nothing_yet(model: Model) -> dict[tuple[int, int | None, int | None], _Usual]:
    return {}


def _logits(norm: Norm, embedding: Tensor, vectors: Tensor) -> Tensor:
    """[..., V] of vectors [..., d] by their own norm; what all of them share is left out."""
    return (norm.linear(vectors) * norm.scale(vectors)) @ embedding.T


def _usual(model: Model, layer: int, through: int | None, by: int | None) -> _Usual:
    """Mean and standard deviation over the neurons of a layer, a few of them at a time."""
    embedding = model.parts.unembedding_weight.float()
    count, size = model.info.neurons, max(AT_ONCE // len(embedding), 1)
    total = torch.zeros(len(embedding), dtype=torch.float64, device=embedding.device)
    squares = torch.zeros_like(total)
    for start in range(0, count, size):
        checkpoint()
        tell(None, f"what the neurons of layer {layer} say, {start:,} of {count:,}")
        values = model.values(layer, torch.arange(start, min(start + size, count)))
        if through is not None:
            values = transform(model, through, values, by)
        logits = _logits(model.final_norm, embedding, values.to(embedding.device))
        total += logits.sum(0, dtype=torch.float64)
        squares += logits.square().sum(0, dtype=torch.float64)
    mean = total / count
    variance = (squares / count - mean.square()).clamp(min=1e-24)
    return _Usual(mean.float(), variance.sqrt().float())
