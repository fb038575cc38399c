"""From the residual stream to the vocabulary, with the final norm's statistics frozen.

With the statistics of one run held fixed (method: the original run's, last position), logits are
an affine function of any residual vector, so every part's share can be read by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.parts import Norm, Parts


@dataclass(frozen=True)
class Readout:
    """`logits(x) = E_u · (gain ⊙ (x − mean) + shift) + bias`, then the soft cap if there is one."""

    embedding: Tensor
    """E_u [V, d], as stored."""
    gain: Tensor
    """[d] float32: frozen scale times norm weight, divided by the logit divisor."""
    scale: Tensor
    """[1] float32: the frozen scale alone."""
    mean: Tensor
    """[1] float32: the frozen mean, 0 for an RMS norm."""
    constant: Tensor
    """[V] or [1] float32: what does not depend on x."""
    softcap: float | None

    @classmethod
    def freeze(cls, parts: Parts, norm: Norm, final: Tensor) -> Readout:
        """Take the statistics from the final residual [d] of the run that is read."""
        mean, scale = norm.statistics(final)
        shift = norm.bias / parts.logit_divisor
        embedding = parts.unembedding_weight
        constant = torch.zeros(1, device=final.device)
        if bool(norm.bias.any()):
            constant = constant + embedding.float() @ shift
        bias = parts.unembedding_bias
        if bias is not None:
            constant = constant + bias.float() / parts.logit_divisor
        gain = scale * norm.weight / parts.logit_divisor
        return cls(embedding, gain, scale, mean, constant, parts.logit_softcap)

    def directions(self, vectors: Tensor) -> Tensor:
        """Linear part: what vectors [..., d] add to the logits, [..., V] float32."""
        return (vectors.float() * self.gain) @ self.embedding.float().T

    def logits(self, residual: Tensor) -> Tensor:
        """Logits [..., V] of residual vectors [..., d], before any soft cap."""
        return self.directions(residual.float() - self.mean) + self.constant

    def cap(self, logits: Tensor) -> Tensor:
        """Apply the soft cap, where the model has one."""
        if self.softcap is None:
            return logits
        return self.softcap * torch.tanh(logits / self.softcap)

    def log_prob(self, logits: Tensor, token: Sequence[int]) -> Tensor:
        """Log-probability [...] of a token, or any of several, under uncapped logits [..., V]."""
        capped = self.cap(logits)
        return capped[..., list(token)].logsumexp(-1) - torch.logsumexp(capped, -1)
