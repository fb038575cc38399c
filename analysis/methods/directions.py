"""Directions at the last position of a run, pulled back to what they depend on.

A neuron's key is the direction of the residual stream that activates it (paper section 4.3). With
a run's attention patterns and norm scales held fixed, attention is linear: what layer j adds at
the last position, measured along a direction, is a sum over all that stands in the residual stream
at every position. Pulling the direction back through the value-output maps makes one vector a
layer and position, and each neuron's share a dot product with it (section 4.4, Table 7).

Shapes: n positions, L layers, H heads, N neurons a layer, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attention import pulled_back
from analysis.model.attending import LayerAttention, attending_openly, check_same
from analysis.model.forward import LayerCall, after, before
from analysis.model.trace import Trace
from analysis.progress import checkpoint, told

if TYPE_CHECKING:
    from analysis.model.model import Model


@dataclass(frozen=True)
class WholeRun:
    """One run at every position, as far up as it is wanted; float32."""

    entering: list[Tensor]
    """For each layer [n, d] `x^{l-1}`."""
    coefficients: list[Tensor]
    """For each layer [n, N] what enters the down projection."""
    amounts: list[Tensor]
    """The same, times the scale of a norm behind the FFN."""
    attention: list[Tensor]
    """For each layer [n, d] `A^l`, as added to the residual stream."""
    patterns: list[Tensor]
    """For each layer [H, n]: how much each head attends to each position from the last one."""


@torch.no_grad()
def whole_run(model: Model, ids: Sequence[int], layers: int) -> WholeRun:
    """Run the model on one prompt and keep all positions of the first `layers` layers.

    Raises:
        InputError: with patterns computed in the open the model says something else.
    """
    tokens = torch.tensor([list(ids)], device=model.device)
    _, usual = model.run(tokens)
    norms = [model.ffn_post_norm(number) for number in range(layers)]
    coefficients: list[Tensor] = []
    outputs: list[Tensor] = []
    attention: list[Tensor] = []
    patterns: list[Tensor] = []

    def into(store: list[Tensor]) -> Callable[[Tensor], None]:
        return lambda x: store.append(
            x.reshape(len(ids), -1).to(model.device, torch.float32, copy=True)
        )

    def keep_pattern(found: LayerAttention) -> None:
        patterns.append(found.weights[0, :, -1].to(model.device, copy=True))

    with ExitStack() as stack:
        for number, layer in enumerate(model.parts.layers[:layers]):
            written = layer.attention_post_norm or layer.attention_out
            stack.enter_context(after(written, into(attention)))
            stack.enter_context(before(layer.ffn_out, into(coefficients)))
            stack.enter_context(after(layer.ffn_out, into(outputs)))
            stack.enter_context(attending_openly(model, number, keep_pattern))
        calls, final = model.run(tokens)
    check_same(model, final[0, -1], usual[0, -1])
    scales = [
        1.0 if norm is None else norm.scale(x) for norm, x in zip(norms, outputs, strict=True)
    ]
    return WholeRun(
        [call.entering[0].to(model.device, torch.float32) for call in calls[:layers]],
        coefficients,
        [m * scale for m, scale in zip(coefficients, scales, strict=True)],
        [x * model.parts.residual_multiplier for x in attention],
        patterns,
    )


def before_attention_norm(model: Model, whole: WholeRun, layer: int, directions: Tensor) -> Tensor:
    """Directions [n, d] of what a layer's attention reads, as directions of the stream it norms."""
    norm = model.attention_norm(layer)
    if norm is None:
        return directions
    return norm.transposed(directions) * norm.scale(whole.entering[layer])


def before_attention_post_norm(model: Model, run: Trace, layer: int, direction: Tensor) -> Tensor:
    """A direction [d] of the stream as one of what a layer's attention puts out, last position."""
    norm = model.attention_post_norm(layer)
    if norm is not None:
        direction = norm.transposed(direction) * run.attention_scales[layer]
    return direction * model.parts.residual_multiplier


@torch.no_grad()
def pulled_to_positions(
    model: Model,
    whole: WholeRun,
    run: Trace,
    layer: int,
    direction: Tensor,
    head: int | None = None,
) -> Tensor:
    """A direction at the last position, pulled back through an attention layer to all positions.

    Args:
        model: the model.
        whole: the run.
        run: its last position.
        layer: the attention layer.
        direction: [d] what counts in the residual stream behind that layer.
        head: only what this head carries; None: all heads.

    Returns:
        [n, d]: row i times a vector of the stream entering the layer at position i is what the
        layer carries of it to the last position, along `direction`.
    """
    checkpoint()
    behind = before_attention_post_norm(model, run, layer, direction)
    heads = pulled_back(model, layer, behind)  # [H, d]
    pattern = whole.patterns[layer]  # [H, n]
    if head is not None:
        heads, pattern = heads[head, None], pattern[head, None]
    return before_attention_norm(model, whole, layer, pattern.T @ heads)


@dataclass(frozen=True)
class Carried:
    """The strongest neurons and words, each with what carries it best, strongest first."""

    layer: Tensor
    """[c] the layer of the neuron; −1: the word, which is what enters the first layer."""
    neuron: Tensor
    """[c] its index in the layer, 0 for a word."""
    position: Tensor
    """[c] where in the prompt."""
    carry: Tensor
    """[c] what reaches the direction at the last position."""
    through: Tensor
    """[c] the attention layer that carries it."""

    def __len__(self) -> int:
        return len(self.layer)


@torch.no_grad()
def strongest_carried(
    model: Model, whole: WholeRun, pulled: dict[int, Tensor], count: int
) -> Carried:
    """The neurons and words of which attention carries most.

    Args:
        model: the model.
        whole: the run.
        pulled: by attention layer the direction pulled back to all positions, each [n, d].
        count: how many to find.
    """
    # What enters the first layer: the word's embedding, with its position where that is added.
    best = {layer: (vectors * whole.entering[0]).sum(-1) for layer, vectors in pulled.items()}
    found = [_best(best, -1, count)]
    for layer in told(range(max(pulled)), "what attention carries, layer"):
        values = model.values(layer)  # [N, d]
        shares = {
            through: vectors @ values.T * whole.amounts[layer]  # [n, N]
            for through, vectors in pulled.items()
            if through > layer
        }
        found.append(_best(shares, layer, count))
    joined = [torch.cat(parts) for parts in zip(*found, strict=True)]
    order = joined[3].argsort(descending=True)[:count]
    return Carried(*(each[order] for each in joined))


def _best(shares: dict[int, Tensor], layer: int, count: int) -> tuple[Tensor, ...]:
    """The largest of one layer's shares [n] or [n, N], each through the layer that carries most."""
    through = list(shares)
    stacked = torch.stack([shares[each].reshape(len(shares[each]), -1) for each in through])
    carry, which = stacked.max(0)  # [n, N]
    top = carry.flatten().topk(min(count, carry.numel()))
    neurons = carry.shape[1]
    return (
        torch.full_like(top.indices, layer),
        top.indices % neurons,
        top.indices // neurons,
        top.values,
        torch.tensor(through, device=carry.device)[which.flatten()[top.indices]],
    )


def keys_in_call(model: Model, call: LayerCall, layer: int, neurons: Sequence[int]) -> Tensor:
    """Keys of neurons: what a step in the residual stream adds to their coefficients in a run.

    Args:
        model: the model.
        call: how the run called the layer.
        layer: the layer.
        neurons: the neurons' indices.

    Returns:
        [c, d] float32: derivatives of the coefficients by the stream that enters the FFN's norm at
        the last position, the spread of that norm held fixed.
    """
    part = model.parts.layers[layer]
    norm = model.ffn_norm(layer)  # reading a norm runs it: before anything listens
    normed: list[Tensor] = []
    coefficients: list[Tensor] = []

    def from_one_leaf(x: Tensor) -> Tensor:
        # Gate and up read the same vector, so they must hang on the same leaf.
        if not normed:
            normed.append(x.detach().clone().requires_grad_())
        return normed[0]

    with torch.enable_grad(), ExitStack() as stack:
        for module in part.ffn_in:
            stack.enter_context(before(module, from_one_leaf))
        stack.enter_context(before(part.ffn_out, coefficients.append))
        call.again(call.entering)
        last = coefficients[0].reshape(-1, coefficients[0].shape[-1])[-1]  # [N]
        slopes = [
            torch.autograd.grad(last[neuron], normed[0], retain_graph=True)[0] for neuron in neurons
        ]
    key = torch.stack([slope.reshape(-1, slope.shape[-1])[-1].float() for slope in slopes])
    if norm is None:
        return key.to(model.device)
    scale = norm.scale(read_by_ffn(model, call, layer)[-1])
    return (norm.transposed(key) * scale).to(model.device)


@torch.no_grad()
def read_by_ffn(model: Model, call: LayerCall, layer: int) -> Tensor:
    """The residual stream [n, d] that a layer's FFN reads, before its norm."""
    part = model.parts.layers[layer]
    seen: list[Tensor] = []
    with before(part.ffn_reader, seen.append):
        call.again(call.entering)
    return seen[0].reshape(-1, seen[0].shape[-1])


def reads_its_attention(model: Model, call: LayerCall, layer: int) -> bool:
    """Whether a layer's FFN reads what the layer's attention adds; in parallel blocks not."""
    return not torch.equal(read_by_ffn(model, call, layer), call.entering[0])
