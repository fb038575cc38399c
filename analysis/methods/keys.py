"""Keys of FFN neurons: the directions of the residual stream that activate them (section 4.3)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from analysis.model import weights
from analysis.model.forward import LayerCall, before
from analysis.model.parts import Layer

if TYPE_CHECKING:
    from analysis.model.model import Model


@torch.no_grad()
def keys(model: Model, layer: int, neurons: Tensor) -> tuple[Tensor, ...]:
    """Keys of neurons without a run: rows of the FFN's first projections, drawn through its norm.

    Args:
        model: the model.
        layer: their layer.
        neurons: [c] their indices.

    Returns:
        Gated FFNs: the keys of the gate and those of up; plain ones: those of up alone. Each
        [c, d] float32.
    """
    part = model.parts.layers[layer]
    norm = model.ffn_norm(layer)
    chosen = [neurons]
    if part.ffn_gate_up is not None:  # fused, the gate's rows first
        chosen.append(neurons + model.info.neurons)
        projections = [part.ffn_gate_up, part.ffn_gate_up]
    else:
        projections = _first_projections(part)
        chosen *= len(projections)
    found = []
    for projection, rows in zip(projections, chosen, strict=True):
        matrix = weights.columns(projection, model.parts.dtype)  # [d, outputs]
        key = matrix[:, rows.to(matrix.device)].T.float()
        found.append(key if norm is None else norm.transposed(key))
    return tuple(found)


def key_in_run(model: Model, ids: Sequence[int], layer: int, neuron: int) -> Tensor:
    """What a step in the residual stream adds to a neuron's coefficient in a run, first order.

    Args:
        model: the model.
        ids: what is run.
        layer: the neuron's layer.
        neuron: its index.

    Returns:
        [d] float32: the derivative of the coefficient by the stream that enters the FFN's norm at
        the last position, the spread of that norm held fixed.
    """
    with torch.no_grad():
        calls, _ = model.run(torch.tensor([list(ids)], device=model.device))
    return keys_in_call(model, calls[layer], layer, [neuron])[0]


def keys_in_call(model: Model, call: LayerCall, layer: int, neurons: Sequence[int]) -> Tensor:
    """Keys in a run [c, d] of several neurons of one layer; see `key_in_run`.

    Args:
        model: the model.
        call: how the run called the layer.
        layer: the layer.
        neurons: the neurons' indices.
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
        for module in _first_projections(part):
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
    with before(part.ffn_norm or _first_projections(part)[0], seen.append):
        call.again(call.entering)
    return seen[0].reshape(-1, seen[0].shape[-1])


def reads_its_attention(model: Model, call: LayerCall, layer: int) -> bool:
    """Whether a layer's FFN reads what the layer's attention adds; in parallel blocks not."""
    return not torch.equal(read_by_ffn(model, call, layer), call.entering[0])


def _first_projections(part: Layer) -> list[nn.Module]:
    found = (part.ffn_gate, part.ffn_up, part.ffn_gate_up)
    return [module for module in found if module is not None]
