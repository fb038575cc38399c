"""Path patching: one input reads one source's value of the other run, all else as it was; exact.

What the input's node then writes flows on freely, through every layer above. Patches are rows of
one batch: a row joins at the layer of its input, what is below is as in the clean run.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attribution import Measure
from analysis.model.graph import (
    Edge,
    Graph,
    GraphRun,
    ffn_writes,
    layer_writes,
    projected,
    projections_changed,
    slots,
)
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model


@torch.no_grad()
def patched_paths(
    model: Model,
    graph: Graph,
    clean: GraphRun,
    corrupt: GraphRun,
    edges: Sequence[Edge],
    measure: Measure,
) -> Tensor:
    """The metric [B] of the clean run with each of B edges alone taken from the corrupt run.

    Args:
        model: the model.
        graph: its graph.
        clean: the run that is changed.
        corrupt: the run that the sources' values come from.
        edges: source and input of each.
        measure: the metric.
    """
    order = sorted(range(len(edges)), key=lambda row: edges[row][1])
    by_layer: dict[int, list[Edge]] = {}
    for row in order:
        layer, _ = graph.place(edges[row][1])
        by_layer.setdefault(layer, []).append(edges[row])
    apart = _Apart(model, graph, clean, corrupt)
    x = clean.entering(0)[None, :][:0]
    for layer in range(min(by_layer), graph.layers):
        checkpoint()
        here = by_layer.get(layer, [])
        x = _through(model, graph, clean, layer, x, here, apart)
    at_end = [apart.of(source) for source, _ in by_layer.get(graph.layers, [])]
    if at_end:
        final = clean.final[None].float() + torch.stack(at_end).to(clean.final.device)
        x = torch.cat([x.to(clean.final.device), final.to(clean.final.dtype)])
    values = measure(model.logits(x[:, -1])).float().cpu()
    return values[torch.argsort(torch.tensor(order))]


class _Apart:
    """What a source writes in the corrupt run less what it does in the clean one."""

    def __init__(self, model: Model, graph: Graph, clean: GraphRun, corrupt: GraphRun) -> None:
        self._model, self._graph = model, graph
        self._clean, self._corrupt = clean, corrupt
        self._known: dict[int, Tensor] = {}

    def of(self, source: int) -> Tensor:
        """[n, d] float32."""
        if source == 0:
            apart = self._corrupt.entering(0).float() - self._clean.entering(0).float()
            return apart.to(self._model.device)
        layer, index = divmod(source - 1, self._graph.heads + 1)
        if layer not in self._known:
            self._known[layer] = layer_writes(self._model, self._corrupt, layer) - layer_writes(
                self._model, self._clean, layer
            )
        return self._known[layer][index]


def _through(
    model: Model,
    graph: Graph,
    clean: GraphRun,
    layer: int,
    x: Tensor,
    joining: Sequence[Edge],
    apart: _Apart,
) -> Tensor:
    """What leaves a layer [B, n, d]: of the rows entering it, then of those that join here."""
    call = clean.calls[layer]
    entering = clean.entering(layer)
    attention = [edge for edge in joining if edge[1] != graph.ffn(layer)]
    ffn = [edge for edge in joining if edge[1] == graph.ffn(layer)]
    first = len(x)
    x = torch.cat([x.to(entering.device), entering.expand(len(attention), -1, -1)])
    changed: AbstractContextManager[None] = nullcontext()
    if attention:
        changed = _reading(model, graph, layer, entering, attention, first, apart)
    if len(x):
        with changed:
            x = call.again(x)
    if ffn:
        read = torch.stack([apart.of(source) for source, _ in ffn]).to(entering.device)
        written = ffn_writes(model, call, layer, read + clean.read[layer]) - clean.ffn[layer]
        x = torch.cat([x, (clean.entering(layer + 1).to(written) + written).to(x)])
    return x


def _reading(
    model: Model,
    graph: Graph,
    layer: int,
    entering: Tensor,
    edges: Sequence[Edge],
    first: int,
    apart: _Apart,
) -> AbstractContextManager[None]:
    """Let rows from `first` on have the query, key or value that reads the changed stream."""
    places = slots(model)
    own = [places[graph.place(number)[1]] for _, number in edges]
    made = {}
    for chain in {slot.chain for slot in own}:
        rows = [row for row, slot in enumerate(own) if slot.chain == chain]
        streams = torch.stack([apart.of(edges[row][0]) for row in rows]).to(entering.device)
        patched = projected(model, layer, chain, streams + entering)
        made[chain] = dict(zip(rows, patched, strict=True))

    def change(chain: int, x: Tensor) -> Tensor:
        x = x.clone()
        for row, patched in made.get(chain, {}).items():
            entries = own[row].where
            x[first + row, :, entries] = patched[:, entries]
        return x

    return projections_changed(model, layer, change)
