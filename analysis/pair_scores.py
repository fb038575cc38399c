"""CNA over pairs of prompts: the mean change of every neuron's importance.

Many pairs share their prompts and differ in the answer alone, as professions do. So the pairs of
two prompts are scored together: what a neuron makes of the distribution is computed once, and
every answer reads its own token in it.

Shapes: c neurons, L layers, T answers of the same two prompts, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from analysis.cancel import checkpoint
from analysis.columns import schema
from analysis.neuron_scores import CHUNK, TOKENS_SHOWN
from analysis.readout import Readout
from analysis.step import Work
from analysis.trace import Trace, trace

if TYPE_CHECKING:
    from analysis.model import Model
    from analysis.steps.pairs import PairsStep


@torch.no_grad()
def start_pairs(step: PairsStep, model: Model) -> Work:
    """Bind a comparison over pairs to a model; a frame a layer, a row a neuron."""
    scored = _scored(step, model)
    columns = schema(step.columns)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        known = frozenset(done)
        for layer in range(model.info.layers):
            left = [k for k in range(model.info.neurons) if f"L{layer}N{k}" not in known]
            if left:
                yield _layer(model, scored, layer, left).select(*columns).cast(columns)

    gaps = [gap for each in scored for gap in each.gaps(model)]
    baseline = {"pairs": len(step.pairs), "gap": sum(gaps) / len(gaps)}
    return Work(model.info.layers * model.info.neurons, frames, baseline)


@dataclass(frozen=True)
class _Side:
    """One of two prompts, read with the final norm frozen as in the first."""

    run: Trace
    base: Tensor
    """[L, V] logits of the residual before each layer's FFN, uncapped."""
    base_log_prob: Tensor
    """[L, T] log-probability of the answers there."""

    @classmethod
    def read(cls, run: Trace, readout: Readout, tokens: Tensor) -> _Side:
        base = readout.logits(run.leaving - run.ffn)
        return cls(run, base, _log_probs(readout, base, tokens))


@dataclass(frozen=True)
class _Scored:
    """Two prompts with the answers they are compared on."""

    tokens: Tensor
    """[T] first token of each answer; of equal ones each counts."""
    readout: Readout
    sides: tuple[_Side, _Side]

    def importance(self, side: _Side, layer: int, neurons: Tensor, unscaled: Tensor) -> Tensor:
        """[c] importance of neurons of a layer, summed over the answers.

        Args:
            side: behind which of the prompts.
            layer: the neurons' layer.
            neurons: [c] their indices.
            unscaled: [c, V] what their values add to the logits, the frozen scale left out.
        """
        run = side.run
        amount = run.coefficients[layer, neurons] * run.scales[layer] * self.readout.scale
        logits = torch.addcmul(side.base[layer], amount[:, None], unscaled)
        found = _log_probs(self.readout, logits, self.tokens) - side.base_log_prob[layer]
        return found.double().sum(-1)

    def gaps(self, model: Model) -> list[float]:
        """By how much each answer is likelier behind the first prompt; first tokens, own norms."""
        first, second = (
            torch.log_softmax(model.logits(side.run.final.to(model.hf.dtype)), -1)
            for side in self.sides
        )
        return (first - second)[self.tokens].double().tolist()


def _log_probs(readout: Readout, logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-probabilities [..., T] of tokens under uncapped logits [..., V]."""
    capped = readout.cap(logits)
    return capped[..., tokens] - torch.logsumexp(capped, -1, keepdim=True)


def _scored(step: PairsStep, model: Model) -> list[_Scored]:
    """The pairs, those of the same two prompts together."""
    answers: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for pair in step.pairs:
        first, second = model.encode(pair.first), model.encode(pair.second)
        answers.setdefault((first.ids, second.ids), []).append(first.answer_ids[0])
    runs = {ids: trace(model, ids) for prompts in answers for ids in prompts}
    found = []
    for (first_ids, second_ids), ids in answers.items():
        checkpoint()
        tokens = torch.tensor(ids, device=model.device)
        readout = runs[first_ids].freeze(model)
        first_side, second_side = (
            _Side.read(runs[each], readout, tokens) for each in (first_ids, second_ids)
        )
        found.append(_Scored(tokens, readout, (first_side, second_side)))
    return found


@torch.no_grad()
def _layer(model: Model, scored: list[_Scored], layer: int, neurons: list[int]) -> pl.DataFrame:
    """Rows of some neurons of a layer."""
    chosen = torch.tensor(neurons, device=model.device)
    chunks = chosen.split(CHUNK.get(model.device.type, 256))
    return pl.concat([_table(model, scored, layer, chunk) for chunk in chunks])


def _table(model: Model, scored: list[_Scored], layer: int, neurons: Tensor) -> pl.DataFrame:
    """Rows of neurons [c]; in halves where memory is short."""
    try:
        return _table_together(model, scored, layer, neurons)
    except torch.OutOfMemoryError:
        if len(neurons) == 1:
            raise
        return pl.concat([_table(model, scored, layer, half) for half in neurons.tensor_split(2)])


def _table_together(
    model: Model, scored: list[_Scored], layer: int, neurons: Tensor
) -> pl.DataFrame:
    checkpoint()
    # All readouts have the same gain but for the frozen scale.
    unscaled = scored[0].readout.directions(model.values(layer, neurons))
    unscaled /= scored[0].readout.scale
    count = sum(len(each.tokens) for each in scored)
    numbers = []
    for side in (0, 1):
        importance = torch.zeros(len(neurons), dtype=torch.float64, device=neurons.device)
        coefficient = torch.zeros_like(importance)
        for each in scored:
            checkpoint()
            importance += each.importance(each.sides[side], layer, neurons, unscaled)
            own = each.sides[side].run.coefficients[layer, neurons]
            coefficient += own.double() * len(each.tokens)
        numbers.append([(total / count).cpu() for total in (importance, coefficient)])
    (importance, coefficient), (contrast, coefficient_contrast) = numbers
    sign = torch.where(coefficient < 0, -1.0, 1.0).to(unscaled)
    best = (unscaled * sign[:, None]).topk(TOKENS_SHOWN).indices
    return pl.DataFrame(
        {
            "name": [f"L{layer}N{neuron}" for neuron in neurons.tolist()],
            "layer": [layer] * len(neurons),
            "neuron": neurons.tolist(),
            "importance": importance.tolist(),
            "importance_contrast": contrast.tolist(),
            "importance_change": (importance - contrast).tolist(),
            "coefficient": coefficient.tolist(),
            "coefficient_contrast": coefficient_contrast.tolist(),
            "coefficient_change": (coefficient - coefficient_contrast).tolist(),
            "tokens": [[model.token(token) for token in row] for row in best.tolist()],
        }
    )
