"""From the residual stream to the vocabulary, with the spread of the final norm frozen.

With the spread of one run held fixed (method: the original run's, last position), logits are an
affine function of any residual vector, so every part's share can be read by itself. A LayerNorm
also centres; that is linear, so each vector loses its own mean and nothing of it is frozen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.model.parts import Norm, Parts


@dataclass(frozen=True)
class Readout:
    """`logits(x) = E_u · normed(x) + constant`, then the soft cap if there is one."""

    embedding: Tensor
    """E_u [V, d], as stored."""
    norm: Norm
    scale: Tensor
    """[1] float32: the frozen scale of the norm, from the spread of the run."""
    logit_divisor: float
    constant: Tensor
    """[V] or [1] float32: what does not depend on x."""
    softcap: float | None

    @classmethod
    def freeze(cls, parts: Parts, norm: Norm, final: Tensor) -> Readout:
        """Take the spread from the final residual [d] of the run that is read."""
        shift = norm.bias / parts.logit_divisor
        embedding = parts.unembedding_weight
        constant = torch.zeros(1, device=final.device)
        if bool(norm.bias.any()):
            constant = constant + embedding.float() @ shift
        bias = parts.unembedding_bias
        if bias is not None:
            constant = constant + bias.float() / parts.logit_divisor
        scale = norm.scale(final)
        return cls(embedding, norm, scale, parts.logit_divisor, constant, parts.logit_softcap)

    def normed(self, vectors: Tensor) -> Tensor:
        """What meets the unembedding of vectors [..., d]: linear in them, [..., d] float32."""
        return self.norm.linear(vectors) * (self.scale / self.logit_divisor)

    def directions(self, vectors: Tensor) -> Tensor:
        """Linear part: what vectors [..., d] add to the logits, [..., V] float32."""
        return self.normed(vectors) @ self.embedding.float().T

    def logits(self, residual: Tensor) -> Tensor:
        """Logits [..., V] of residual vectors [..., d], before any soft cap."""
        return self.directions(residual) + self.constant

    def cap(self, logits: Tensor) -> Tensor:
        """Apply the soft cap, where the model has one."""
        if self.softcap is None:
            return logits
        return self.softcap * torch.tanh(logits / self.softcap)

    def log_prob(self, logits: Tensor, token: Sequence[int]) -> Tensor:
        """Log-probability [...] of a token, or any of several, under uncapped logits [..., V]."""
        capped = self.cap(logits)
        return capped[..., list(token)].logsumexp(-1) - torch.logsumexp(capped, -1)
