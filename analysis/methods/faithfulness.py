"""Circuits as sets of edges: the model with every other edge taken from the corrupt run, exact."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attribution import Measure
from analysis.model.forward import after, before
from analysis.model.graph import (
    Graph,
    GraphRun,
    ffn_writes,
    head_writes,
    layer_writes,
    projected,
    projections_changed,
    slots,
)
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model


@torch.no_grad()
def circuits(
    model: Model,
    graph: Graph,
    clean: GraphRun,
    corrupt: GraphRun,
    kept: Tensor,
    measure: Measure,
) -> Tensor:
    """The metric [C] of C circuits, in which only the kept edges carry what the circuit computes.

    Every input reads the corrupt run's stream, with each source that a kept edge joins to it
    replaced by its value in the circuit; the embedding has the clean one.

    Args:
        model: the model.
        graph: its graph.
        clean: the run whose embedding goes in.
        corrupt: the run that all other edges have.
        kept: [C, inputs, U] bool.
        measure: the metric.
    """
    count, (length, width) = len(kept), clean.final.shape
    # What each source writes in the circuit, less what it does in the corrupt run.
    apart = torch.zeros(count, graph.sources, length, width, device=model.device)
    apart[:, 0] = clean.entering(0).float() - corrupt.entering(0).float()

    def stream(inputs: slice, base: Tensor) -> Tensor:
        """[C, inputs, n, d] what these inputs of one node each read."""
        seen = graph.read_by(inputs.start)
        chosen = kept[:, inputs, :seen].to(apart)
        read: Tensor = (chosen @ apart[:, :seen].flatten(2)).unflatten(2, base.shape)
        return read + base.to(read)

    for layer in range(graph.layers):
        checkpoint()
        call = corrupt.calls[layer]
        read = stream(graph.attention(layer), corrupt.entering(layer))
        written = _attended(model, corrupt, layer, read).to(apart)
        base = layer_writes(model, corrupt, layer)
        below = graph.below(layer)
        apart[:, below : below + graph.heads] = written - base[:-1]
        place = graph.ffn(layer)
        read = stream(slice(place, place + 1), corrupt.read[layer])[:, 0]
        apart[:, below + graph.heads] = ffn_writes(model, call, layer, read) - base[-1]
    last = stream(slice(graph.inputs - 1, graph.inputs), corrupt.final)[:, 0, -1]
    return measure(model.logits(last.to(corrupt.final))).float().cpu()


def _attended(model: Model, run: GraphRun, layer: int, streams: Tensor) -> Tensor:
    """[C, H, n, d] what the heads of a layer write where its inputs read streams [C, R, n, d]."""
    call, part = run.calls[layer], model.parts.layers[layer]
    norm = model.attention_post_norm(layer)
    made = _projections(model, layer, streams)
    entering: list[Tensor] = []
    outputs: list[Tensor] = []
    with ExitStack() as stack:
        stack.enter_context(projections_changed(model, layer, lambda chain, x: made[chain]))
        stack.enter_context(before(part.attention_out, entering.append))
        stack.enter_context(after(part.attention_out, outputs.append))
        call.again(call.entering.expand(len(streams), -1, -1))
    shape = (len(streams), streams.shape[2], -1)
    scale = None if norm is None else norm.scale(outputs[0].reshape(shape))
    return head_writes(model, layer, entering[0].reshape(shape), scale)


def _projections(model: Model, layer: int, streams: Tensor) -> list[Tensor]:
    """For each projection [C, n, w] with every slot as its own stream of [C, R, n, d] makes it."""
    places = slots(model)
    made = []
    for chain in sorted({slot.chain for slot in places}):
        own = [number for number, slot in enumerate(places) if slot.chain == chain]
        # One after the other: what is made of all streams at once is R times as large.
        rows = [projected(model, layer, chain, streams[:, number]) for number in own]
        joined = torch.zeros_like(rows[0])
        for number, row in zip(own, rows, strict=True):
            entries = places[number].where
            joined[..., entries] = row[..., entries]
        made.append(joined)
    return made
