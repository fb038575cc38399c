"""Importance of FFN neurons: exact values, and bounds that need no vocabulary-sized work.

Importance of neuron (l, k) is `f = log p(w | x + m·v) − log p(w | x)` with x the residual before
the FFN's contribution, v the neuron's value and the final norm's spread frozen (paper section
4.1). Write u = E_u·normed(v) for what v adds to the logits, p for the distribution at x and ū for
the mean of u under p. Then

    f = m (u_w − ū) − log E_p[e^X]   with   X = m (u − ū).

The first term is one dot product a neuron. The expectation is split: over T, the tokens p favours
(few of them for every neuron, many for the promising ones), it is computed; over the rest,
`1 + X ≤ e^X ≤ 1 + X + X² φ(b)` for X ≤ b with φ(b) = (e^b − 1 − b) / b², the linear part is known
because X has mean zero, the squares are at most the rest's largest p times a quadratic form in v,
and b follows from norms. Both bounds are certain; they hold whatever the model.

Shapes: L layers, N neurons a layer, d width, V vocabulary, T favoured tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.model.packing import side_by_side
from analysis.model.passes import log_any
from analysis.model.readout import Readout
from analysis.model.trace import Trace
from analysis.progress import checkpoint, told

if TYPE_CHECKING:
    from analysis.model.model import Model

FAVOURED = 64
"""Tokens whose share of the expectation is computed rather than bounded, for every neuron."""
CLOSELY = 2_048
"""The same for the few neurons looked at closely."""
AT_ONCE = 1_024
"""Neurons looked at closely together."""
MARGIN = 2e-5
"""Added to every bound for float32 rounding."""
ROUNDING = 1e-6
"""Added likewise, times the largest logit met."""
_LARGEST_EXPONENT = 80.0
"""Where exponentials are cut: an upper bound stays one, a lower bound is given up."""


@dataclass(frozen=True)
class Scored:
    """A run prepared for scoring an answer, or the mean over several."""

    run: Trace
    readout: Readout
    tokens: Tensor
    """[T, a] what is scored: T answers, of equal ones each counts; any of a tokens will do."""
    base: Tensor
    """[L, V] logits of the residual before each layer's FFN, uncapped."""
    base_log_prob: Tensor
    """[L] log-probability of the answer there, the mean of several."""

    @classmethod
    def prepare(cls, run: Trace, readout: Readout, *tokens: int | tuple[int, ...]) -> Scored:
        """Compute what all neurons of the run share.

        Args:
            run: the run.
            readout: the frozen one.
            tokens: of each answer the token, or those of which any will do.
        """
        base = readout.logits(run.leaving - run.ffn)
        each = [(one,) if isinstance(one, int) else one for one in tokens]
        answers = side_by_side(each).to(base.device)
        return cls(run, readout, answers, base, _log_prob(readout, base, answers))

    def log_prob(self, logits: Tensor) -> Tensor:
        """Mean log-probability [...] of the answers under uncapped logits [..., V]."""
        return _log_prob(self.readout, logits, self.tokens)

    def effective(self, layer: int | None = None) -> Tensor:
        """[L, N] coefficients times the scale of a norm behind the FFN; [N] of one layer."""
        if layer is not None:
            return self.run.coefficients[layer] * self.run.scales[layer]
        return self.run.coefficients * self.run.scales[:, None]


def _log_prob(readout: Readout, logits: Tensor, tokens: Tensor) -> Tensor:
    capped = readout.cap(logits)
    wanted = tokens.expand(*logits.shape[:-1], -1, -1)
    answers = log_any(capped[..., None, :].expand(*wanted.shape[:-1], -1), wanted)
    return answers.mean(-1) - torch.logsumexp(capped, -1)


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
        results.append(scored.log_prob(logits) - scored.base_log_prob[layers])
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
        spread = []
        for layer in told(range(model.info.layers), "all neurons' values, layer"):
            values = model.final_norm.linear(model.values(layer)) / model.parts.logit_divisor
            spread.append(((values @ gram) * values).sum(-1))
        return cls(rows.square().sum(-1), mean, torch.stack(spread))


@dataclass(frozen=True)
class _Expectation:
    """A run's distributions before each FFN, reduced to what the bounds need."""

    favoured: Tensor
    """[L, T] tokens, the most probable first."""
    p: Tensor
    """[L, T] their probabilities."""
    following: Tensor
    """[L] probability of the next one after them, 0 where there is none."""
    mean_row: Tensor
    """[L, d] unembedding row averaged under p."""
    reach: Tensor
    """[L] largest distance from `mean_row` of a row beyond the first `FAVOURED`."""

    @classmethod
    def of(cls, scored: Scored, geometry: Geometry) -> _Expectation:
        rows = scored.readout.embedding.float()
        p = torch.softmax(scored.base, -1)
        count = min(max(FAVOURED, CLOSELY), p.shape[-1])
        best = p.topk(min(count + 1, p.shape[-1]))
        beyond = count < p.shape[-1]
        mean_row = p @ rows
        distance = geometry.squares - 2 * (mean_row @ rows.T)
        distance += mean_row.square().sum(-1, keepdim=True)
        distance.scatter_(-1, best.indices[:, :FAVOURED], 0)
        return cls(
            favoured=best.indices[:, :count],
            p=best.values[:, :count],
            following=best.values[:, count] if beyond else torch.zeros_like(p[:, 0]),
            mean_row=mean_row,
            reach=distance.amax(-1).clamp_min(0).sqrt(),
        )

    def largest_beyond(self, layer: int, count: int) -> Tensor:
        """Largest probability of a token that is not among the first `count`, a scalar."""
        return self.p[layer, count] if count < self.p.shape[1] else self.following[layer]


Range = tuple[Tensor, Tensor]
"""Lower and upper bounds of the same shape."""


class Bounds:
    """Certain bounds on importance in several runs that share a readout.

    Args:
        model: the model.
        runs: R runs.
    """

    def __init__(self, model: Model, runs: tuple[Scored, ...]) -> None:
        self._model = model
        self._runs = runs
        self._expectations = [_Expectation.of(scored, model.once(Geometry.of)) for scored in runs]

    def of_all(self) -> list[Range]:
        """Bounds [L, N] on every neuron, for each run."""
        layers = [
            self._of_layer(layer, None, FAVOURED)
            for layer in told(range(self._model.info.layers), "bounds on all neurons, layer")
        ]
        return [
            (torch.stack([low for low, _ in each]), torch.stack([high for _, high in each]))
            for each in zip(*layers, strict=True)
        ]

    def closely(self, layers: Tensor, neurons: Tensor) -> list[Range]:
        """Closer bounds [c] on some neurons, for each run.

        Args:
            layers: [c] their layers.
            neurons: [c] their indices.
        """
        found = torch.empty(len(self._runs), 2, len(layers), device=layers.device)
        for layer in layers.unique().tolist():
            for here in (layers == layer).nonzero()[:, 0].split(AT_ONCE):
                for run, ends in enumerate(self._of_layer(layer, neurons[here], CLOSELY)):
                    found[run, :, here] = torch.stack(ends)
        return [(low, high) for low, high in found]

    def _of_layer(self, layer: int, neurons: Tensor | None, favoured: int) -> list[Range]:
        """Bounds [n] on neurons of one layer (None: all of them), for each run."""
        checkpoint()
        geometry, readout = self._model.once(Geometry.of), self._runs[0].readout
        contributions = readout.normed(self._model.values(layer, neurons))  # [n, d]
        norms = contributions.norm(dim=-1)
        spread = geometry.spread[layer] * readout.scale**2
        if neurons is not None:
            spread = spread[neurons]
        ranges = []
        for scored, expectation in zip(self._runs, self._expectations, strict=True):
            m = scored.effective(layer)
            group = _Group(
                layer, m if neurons is None else m[neurons], contributions, norms, spread, favoured
            )
            ranges.append(_range(scored, expectation, geometry, group))
        return ranges


@dataclass(frozen=True)
class _Group:
    """n neurons of one layer, and how many favoured tokens to look at."""

    layer: int
    m: Tensor
    """[n] coefficients."""
    contributions: Tensor
    """[n, d] values as they meet the unembedding."""
    norms: Tensor
    """[n] their lengths."""
    spread: Tensor
    """[n] sum over the vocabulary of (u_v − mean u)²."""
    favoured: int


def _range(scored: Scored, expectation: _Expectation, geometry: Geometry, group: _Group) -> Range:
    """Bounds [n] in one run."""
    rows = scored.readout.embedding
    layer, m = group.layer, group.m
    mean_row = expectation.mean_row[layer]
    p = expectation.p[layer, : group.favoured]
    favoured = rows[expectation.favoured[layer, : group.favoured]].float()
    u = group.contributions @ (favoured - mean_row).T  # [n, T] minus ū
    x = u * m[:, None]
    reach = m.abs() * group.norms * expectation.reach[layer]  # X over the rest is at most this
    largest_x = x.amax(-1)
    overflowed = (largest_x > _LARGEST_EXPONENT) | (reach > _LARGEST_EXPONENT)
    # Σ over T of p (e^X − X), plus the rest's probability.
    tail = (1 - p.sum()).clamp_min(0)
    known = torch.exp(x.clamp_max(_LARGEST_EXPONENT)) @ p - x @ p + tail

    # Squares over the rest: all of the vocabulary around ū, less the favoured tokens.
    away = group.contributions @ (geometry.mean - mean_row)
    squares = group.spread + rows.shape[0] * away.square()
    rounding = squares * 1e-4
    squares = (squares - u.square().sum(-1)).clamp_min(0) + rounding
    b = reach.clamp(1e-6, _LARGEST_EXPONENT)
    phi = torch.where(b < 1e-2, 0.5 + b / 5, (torch.expm1(b) - b) / b.square())
    rest = phi * expectation.largest_beyond(layer, group.favoured) * m.square() * squares

    first_order = m * (group.contributions @ (rows[scored.tokens[:, 0]].float().mean(0) - mean_row))
    largest_logit = scored.base[layer].abs().amax() + torch.maximum(largest_x, -x.amin(-1))
    margin = MARGIN + ROUNDING * largest_logit
    high = first_order - torch.log(known.clamp_min(1e-30)) + margin
    low = first_order - torch.log((known + rest).clamp_min(1e-30)) - margin
    return torch.where(overflowed, -torch.inf, low), high
