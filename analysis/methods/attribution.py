"""Edge attribution: a first-order estimate of every edge from a gradient (EAP and EAP-IG)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from analysis.model.forward import after, before
from analysis.model.graph import (
    Graph,
    GraphRun,
    ffn_writes,
    projected,
    slots,
    source_writes,
)
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model

Measure: TypeAlias = Callable[[Tensor], Tensor]
"""The metric [...] of logits [..., V] at the last position."""

CHUNK_BYTES = 2**28
"""What the sources' writes and the inputs' gradients of the positions looked at together take."""


@dataclass(frozen=True)
class _Slopes:
    """Gradients of the metric in one run, and the streams that it had."""

    streams: list[Tensor]
    """[n, d] entering each layer, then the final norm."""
    read: list[Tensor]
    """For each layer [n, d] what the FFN reads."""
    leaving: list[Tensor]
    """For each layer [n, d] the gradient at the stream leaving it."""
    projected: list[list[Tensor]]
    """For each layer and projection to queries, keys, values [n, w] the gradient at its output."""


@torch.no_grad()
def edge_scores(
    model: Model, graph: Graph, clean: GraphRun, corrupt: GraphRun, measure: Measure, steps: int = 1
) -> Tensor:
    """What corrupting each edge alone would change in the metric, to first order.

    Args:
        model: the model.
        graph: its graph.
        clean: the run whose metric it is.
        corrupt: the run that the sources' other values come from.
        measure: the metric.
        steps: 1: the gradient of the clean run (EAP). More: its mean over so many runs whose
            input goes in equal steps from the corrupt prompt's to the clean one's (EAP-IG).

    Returns:
        [inputs, U] float32 on the CPU: the source's value in the corrupt run less that in the
        clean one, times the gradient at the input, summed over positions; 0 where there is no edge.
    """
    scores = torch.zeros(graph.inputs, graph.sources)
    start, end = corrupt.entering(0), clean.entering(0)
    for step in range(1, steps + 1):
        entering = end if step == steps else start + (end - start) * (step / steps)
        slopes = _slopes(model, clean, entering, measure)
        _add(model, graph, clean, corrupt, slopes, scores)
    return scores.masked_fill_(~graph.exists, 0) / steps


def _slopes(model: Model, clean: GraphRun, entering: Tensor, measure: Measure) -> _Slopes:
    """One run from what enters the first layer [n, d], and one backward pass."""
    parts = model.parts
    made: list[list[Tensor]] = [[] for _ in parts.layers]
    read: list[Tensor] = []
    with torch.enable_grad(), ExitStack() as stack:
        for number, layer in enumerate(parts.layers):
            stack.enter_context(before(layer.ffn_reader, read.append))
            for chain in parts.attention_in(number):
                stack.enter_context(after(chain[-1], made[number].append))
        streams = [entering.detach().clone()[None].requires_grad_()]
        for call in clean.calls:
            checkpoint()
            streams.append(call.again(streams[-1].to(call.entering.device)))
        value = measure(model.logits(streams[-1][:, -1])).sum()
        flat = [x for layer in made for x in layer]
        found = list(torch.autograd.grad(value, [*streams[1:], *flat]))
    gradients = iter(found[len(parts.layers) :])
    length = len(entering)

    def plain(x: Tensor) -> Tensor:
        return x.detach().reshape(length, -1)

    return _Slopes(
        [plain(x) for x in streams],
        [plain(x) for x in read],
        [plain(x) for x in found[: len(parts.layers)]],
        [[plain(next(gradients)) for _ in layer] for layer in made],
    )


def _add(
    model: Model, graph: Graph, clean: GraphRun, corrupt: GraphRun, slopes: _Slopes, to: Tensor
) -> None:
    """Add to scores [inputs, U] those of one gradient, a few positions at a time."""
    length, width = slopes.streams[0].shape
    ffn = [_ffn_slope(model, clean, slopes, layer) for layer in range(graph.layers)]
    size = positions_at_once(graph, width)
    for first in range(0, length, size):
        where = slice(first, first + size)
        apart = source_writes(model, corrupt, where) - source_writes(model, clean, where)
        apart = apart.flatten(1)  # [U, n · d]

        def score(inputs: slice, slope: Tensor, apart: Tensor = apart) -> None:
            slope = slope.flatten(1).to(apart)
            to[inputs] += (slope @ apart.T).cpu()

        for layer in range(graph.layers):
            checkpoint()
            score(graph.attention(layer), _attention_slopes(model, slopes, layer, where))
            place = graph.ffn(layer)
            score(slice(place, place + 1), ffn[layer][None, where])
        score(slice(graph.inputs - 1, graph.inputs), slopes.leaving[-1][None, where])


def _attention_slopes(model: Model, slopes: _Slopes, layer: int, where: slice) -> Tensor:
    """[R, n, d] the gradient at the stream as each query, key and value of a layer reads it."""
    places = slots(model)
    stream = slopes.streams[layer][where]
    found = []
    for chain, slope in enumerate(slopes.projected[layer]):
        own = [slot.where for slot in places if slot.chain == chain]
        with torch.enable_grad():
            # A row for each slot, so that each has a gradient of its own.
            rows = stream.expand(len(own), -1, -1).detach().clone().requires_grad_()
            out = projected(model, layer, chain, rows)  # [r, n, w]
            along = torch.zeros_like(out)
            for row, entries in enumerate(own):
                along[row, :, entries] = slope[where, entries]
            found.append(torch.autograd.grad(out, rows, along)[0].float())
    return torch.cat(found)


def _ffn_slope(model: Model, clean: GraphRun, slopes: _Slopes, layer: int) -> Tensor:
    """[n, d] the gradient at the stream as the FFN of a layer reads it."""
    with torch.enable_grad():
        read = slopes.read[layer][None].detach().clone().requires_grad_()
        written = ffn_writes(model, clean.calls[layer], layer, read)
        along = slopes.leaving[layer][None].to(written)
        (slope,) = torch.autograd.grad(written, read, along)
    return slope[0].float()


def positions_at_once(graph: Graph, width: int) -> int:
    """How many positions are looked at together."""
    return max(1, CHUNK_BYTES // (_rows(graph) * width * FLOAT32))


def _rows(graph: Graph) -> int:
    """Vectors a position: the sources' of both runs and between, the inputs' of one layer."""
    return 3 * graph.sources + 6 * graph.reading


def memory_of(graph: Graph, model: Model, tokens: int) -> int:
    """Roughly the bytes that the scores of one pair take at their peak, beyond the model.

    Args:
        graph: the model's graph.
        model: the model.
        tokens: of the longest prompt.
    """
    info = model.info
    size = model.hf.dtype.itemsize
    chunk = min(tokens, positions_at_once(graph, info.width)) * _rows(graph) * info.width * FLOAT32
    runs = 2 * tokens * info.layers * 5 * info.width * size
    backward = tokens * info.layers * (10 * info.width + 4 * info.neurons) * size
    scores = 3 * graph.inputs * graph.sources * FLOAT32
    return runs + max(chunk, backward) + scores


def strongest(scores: Tensor, graph: Graph, signed: bool, useful: float = -1.0) -> Tensor:
    """Edges in the order of their strength: places in the flat scores [edges].

    Args:
        scores: [inputs, U].
        graph: says which of them are edges.
        signed: rank by what the edge carries of the difference, most first; else by size.
        useful: the sign of a score that carries the difference: −1 where the clean metric is the
            larger one, since corrupting the edge then makes it smaller.
    """
    ranked = scores * useful if signed else scores.abs()
    order = (
        ranked.masked_fill(~graph.exists, -torch.inf)
        .flatten()
        .argsort(descending=True, stable=True)
    )
    return order[: int(graph.exists.sum())]


def edges_at(places: Sequence[int], graph: Graph) -> list[tuple[int, int]]:
    """Source and input of edges by their places in flat scores."""
    return [(place % graph.sources, place // graph.sources) for place in places]
