"""Importance of FFN neurons: exact values, and bounds that need no vocabulary-sized work.

Importance of neuron (l, k) is `f = log p(w | x + m·v) − log p(w | x)` with x the residual before
the FFN's contribution, v the neuron's value and the final norm frozen (paper section 4.1). Write
u = E_u·(gain ⊙ v) for what v adds to the logits, p for the distribution at x and ū for the mean
of u under p. Then

    f = m (u_w − ū) − log E_p[e^X]   with   X = m (u − ū).

The first term is one dot product a neuron. The expectation is split: over T, the tokens p favours,
it is computed; over the rest, `1 + X ≤ e^X ≤ 1 + X + X² φ(b)` for X ≤ b with
φ(b) = (e^b − 1 − b) / b², the linear part is known because X has mean zero, the squares are at
most the rest's largest p times a quadratic form in v, and b follows from norms. Both bounds are
certain; they hold whatever the model.

Shapes: L layers, N neurons a layer, d width, V vocabulary, T favoured tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.cancel import checkpoint
from analysis.readout import Readout
from analysis.trace import Trace

if TYPE_CHECKING:
    from analysis.model import Model

FAVOURED = 256
"""Tokens whose share of the expectation is computed rather than bounded."""
MARGIN = 2e-5
"""Added to every bound for float32 rounding."""
ROUNDING = 1e-6
"""Added likewise, times the largest logit met."""
_LARGEST_EXPONENT = 80.0
"""Where exponentials are cut: an upper bound stays one, a lower bound is given up."""


@dataclass(frozen=True)
class Scored:
    """A run prepared for scoring one answer token."""

    run: Trace
    readout: Readout
    token: int
    base: Tensor
    """[L, V] logits of the residual before each layer's FFN, uncapped."""
    base_log_prob: Tensor
    """[L] log-probability of the answer there."""

    @classmethod
    def prepare(cls, run: Trace, readout: Readout, token: int) -> Scored:
        """Compute what all neurons of the run share."""
        base = readout.logits(run.leaving - run.ffn)
        return cls(run, readout, token, base, readout.log_prob(base, token))

    def effective(self) -> Tensor:
        """[L, N] coefficients times the scale of a norm behind the FFN."""
        return self.run.coefficients * self.run.scales[:, None]


def exact(runs: tuple[Scored, ...], directions: Tensor, layers: Tensor, neurons: Tensor) -> Tensor:
    """Importance of some neurons in several runs that share a readout.

    Args:
        runs: R runs.
        directions: [c, V] what each neuron's value adds to the logits.
        layers: [c] the neurons' layers.
        neurons: [c] their indices.

    Returns:
        [R, c] in nats.
    """
    results = []
    for scored in runs:
        amount = scored.effective()[layers, neurons]
        logits = torch.addcmul(scored.base[layers], amount[:, None], directions)
        after = scored.readout.log_prob(logits, scored.token)
        results.append(after - scored.base_log_prob[layers])
    return torch.stack(results)


@dataclass(frozen=True)
class Geometry:
    """What the bounds need of the weights alone; computed once a model."""

    squares: Tensor
    """[V] squared norms of the unembedding's rows."""
    mean: Tensor
    """[d] mean row."""
    spread: Tensor
    """[L, N] sum over the vocabulary of (u_v − mean u)², with the final norm's scale left out."""

    @classmethod
    def of(cls, model: Model) -> Geometry:
        """Pass over the unembedding and the neurons' values once."""
        rows = model.parts.unembedding_weight.float()
        mean = rows.mean(0)
        gram = rows.T @ rows - rows.shape[0] * torch.outer(mean, mean)
        weight = model.final_norm.weight / model.parts.logit_divisor
        spread = []
        for layer in range(model.info.layers):
            checkpoint()
            values = model.values(layer) * weight
            spread.append(((values @ gram) * values).sum(-1))
        return cls(rows.square().sum(-1), mean, torch.stack(spread))


@dataclass(frozen=True)
class _Expectation:
    """A run's distributions before each FFN, reduced to what the bounds need."""

    favoured: Tensor
    """[L, T] tokens."""
    p: Tensor
    """[L, T] their probabilities."""
    tail: Tensor
    """[L] probability of the rest."""
    largest: Tensor
    """[L] largest probability in the rest."""
    mean_row: Tensor
    """[L, d] unembedding row averaged under p."""
    reach: Tensor
    """[L] largest distance of a row of the rest from `mean_row`."""

    @classmethod
    def of(cls, scored: Scored, geometry: Geometry) -> _Expectation:
        rows = scored.readout.embedding.float()
        p = torch.softmax(scored.base, -1)
        favoured = p.topk(min(FAVOURED, p.shape[-1]))
        mean_row = p @ rows
        distance = geometry.squares - 2 * (mean_row @ rows.T)
        distance += mean_row.square().sum(-1, keepdim=True)
        distance.scatter_(-1, favoured.indices, 0)
        p.scatter_(-1, favoured.indices, 0)
        return cls(
            favoured=favoured.indices,
            p=favoured.values,
            tail=p.sum(-1),
            largest=p.amax(-1),
            mean_row=mean_row,
            reach=distance.amax(-1).clamp_min(0).sqrt(),
        )


def bounds(model: Model, runs: tuple[Scored, ...]) -> list[tuple[Tensor, Tensor]]:
    """Certain lower and upper bounds [L, N] on every neuron's importance, for each run."""
    geometry = model.geometry
    expectations = [_Expectation.of(scored, geometry) for scored in runs]
    found: list[list[tuple[Tensor, Tensor]]] = [[] for _ in runs]
    for layer in range(model.info.layers):
        checkpoint()
        contributions = model.values(layer) * runs[0].readout.gain  # [N, d]
        norms = contributions.norm(dim=-1)
        spread = geometry.spread[layer] * runs[0].readout.scale ** 2
        for scored, expectation, into in zip(runs, expectations, found, strict=True):
            into.append(
                _layer_bounds(scored, expectation, geometry, layer, contributions, norms, spread)
            )
    return [
        (torch.stack([low for low, _ in each]), torch.stack([high for _, high in each]))
        for each in found
    ]


def _layer_bounds(
    scored: Scored,
    expectation: _Expectation,
    geometry: Geometry,
    layer: int,
    contributions: Tensor,
    norms: Tensor,
    spread: Tensor,
) -> tuple[Tensor, Tensor]:
    """Bounds [N] for one layer of one run."""
    rows = scored.readout.embedding
    m = scored.effective()[layer]
    mean_row = expectation.mean_row[layer]
    p = expectation.p[layer]
    u = contributions @ (rows[expectation.favoured[layer]].float() - mean_row).T  # [N, T] minus ū
    x = u * m[:, None]
    reach = m.abs() * norms * expectation.reach[layer]  # X over the rest is at most this
    overflowed = (x.amax(-1) > _LARGEST_EXPONENT) | (reach > _LARGEST_EXPONENT)
    # Σ over T of p (e^X − X), plus the rest's probability.
    known = torch.exp(x.clamp_max(_LARGEST_EXPONENT)) @ p - x @ p + expectation.tail[layer]

    # Squares over the rest: all of the vocabulary around ū, less the favoured tokens.
    away = contributions @ (geometry.mean - mean_row)
    squares = spread + rows.shape[0] * away.square()
    rounding = squares * 1e-4
    squares = (squares - u.square().sum(-1)).clamp_min(0) + rounding
    b = reach.clamp(1e-6, _LARGEST_EXPONENT)
    phi = torch.where(b < 1e-2, 0.5 + b / 5, (torch.expm1(b) - b) / b.square())
    rest = phi * expectation.largest[layer] * m.square() * squares

    first_order = m * (contributions @ (rows[scored.token].float() - mean_row))
    largest_logit = scored.base[layer].abs().amax() + x.abs().amax(-1)
    margin = MARGIN + ROUNDING * largest_logit
    high = first_order - torch.log(known.clamp_min(1e-30)) + margin
    low = first_order - torch.log((known + rest).clamp_min(1e-30)) - margin
    return torch.where(overflowed, -torch.inf, low), high
