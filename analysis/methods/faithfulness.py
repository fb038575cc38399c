"""Circuits as sets of edges: the model with every other edge taken from the corrupt run, exact."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attribution import Measure
from analysis.model.forward import after, before
from analysis.model.graph import (
    Graph,
    GraphRun,
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
        base = layer_writes(model, corrupt, layer)
        made = _projections(model, layer, stream(graph.attention(layer), corrupt.entering(layer)))
        call = _Call(model, corrupt, layer, made)

        def read_by_ffn(call: _Call = call, base: Tensor = base, layer: int = layer) -> Tensor:
            if not graph.parallel[layer]:
                apart[:, graph.heads_of(layer)] = call.heads() - base[:-1]
            place = graph.ffn(layer)
            return stream(slice(place, place + 1), corrupt.read[layer])[:, 0]

        apart[:, graph.below(layer + 1) - 1] = call.run(read_by_ffn) - base[-1]
        if graph.parallel[layer]:
            apart[:, graph.heads_of(layer)] = call.heads() - base[:-1]
    last = stream(slice(graph.inputs - 1, graph.inputs), corrupt.final)[:, 0, -1]
    return measure(model.logits(last.to(corrupt.final))).float().cpu()


class _Call:
    """A layer called once on C rows whose queries, keys, values and FFN read other streams.

    Args:
        model: the model.
        run: whose call it is.
        layer: the layer.
        made: for each projection to queries, keys and values [C, n, w] what it puts out.
    """

    def __init__(self, model: Model, run: GraphRun, layer: int, made: list[Tensor]) -> None:
        self._model, self._run, self._layer, self._made = model, run, layer, made
        self._shape = (*made[0].shape[:2], -1)
        self._entering: list[Tensor] = []
        self._outputs: list[Tensor] = []

    def run(self, read_by_ffn: Callable[[], Tensor]) -> Tensor:
        """Call it, and return what the FFN adds [C, n, d].

        Args:
            read_by_ffn: the stream that the FFN reads [C, n, d], asked for when it does.
        """
        call, part = self._run.calls[self._layer], self._model.parts.layers[self._layer]
        read: list[Tensor] = []
        written: list[Tensor] = []

        def changed(x: Tensor) -> Tensor:
            if not read:
                read.append(read_by_ffn())
            return read[0].to(x).reshape(x.shape)

        def made(chain: int, x: Tensor) -> Tensor:
            return self._made[chain].reshape(x.shape)

        def keep(store: list[Tensor]) -> Callable[[Tensor], None]:
            return lambda x: store.append(x.clone())  # some families add to it in place

        with ExitStack() as stack:
            stack.enter_context(projections_changed(self._model, self._layer, made))
            stack.enter_context(before(part.attention_out, keep(self._entering)))
            stack.enter_context(after(part.attention_out, keep(self._outputs)))
            for module in [part.ffn_norm] if part.ffn_norm else part.ffn_in:
                stack.enter_context(before(module, changed))
            stack.enter_context(after(part.ffn_writer, keep(written)))
            call.again(call.entering.expand(self._shape[0], -1, -1))
        added = written[0].reshape(self._shape).to(self._model.device, torch.float32)
        return added * self._model.parts.residual_multiplier

    def heads(self) -> Tensor:
        """[C, H, n, d] what the heads add, once attention has run."""
        norm = self._model.attention_post_norm(self._layer)
        scale = None if norm is None else norm.scale(self._outputs[0].reshape(self._shape))
        entering = self._entering[0].reshape(self._shape)
        return head_writes(self._model, self._layer, entering, scale).to(self._model.device)


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
