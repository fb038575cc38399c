"""A model as a graph: what writes to the residual stream, what reads it, and the edges between.

Sources are the embedding (what enters the first layer), every head and every FFN. Inputs are those
of every query head's q, of every key/value head's k and v, of every FFN, and that of the logits:
the residual stream before their norm. A source is what it adds to the stream, behind post-norms
and multipliers. Shapes: n tokens, d width, H query heads, U sources, R inputs of a layer's
attention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from analysis.model import weights
from analysis.model.forward import LayerCall, after, before, rewriting
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model

Edge: TypeAlias = tuple[int, int]
"""A source and an input, as the graph counts them."""


@dataclass(frozen=True)
class Graph:
    """Sources and inputs of a model, in the order in which a run comes to them.

    So an input reads the first so many sources, and how many says which edges there are.
    """

    layers: int
    heads: int
    kv_heads: int
    parallel: tuple[bool, ...]
    """For each layer whether its FFN reads what its attention reads, and not what that adds."""

    @property
    def sources(self) -> int:
        """U."""
        return self.below(self.layers)

    @property
    def reading(self) -> int:
        """R: the queries of a layer, then its keys, then its values."""
        return self.heads + 2 * self.kv_heads

    @property
    def inputs(self) -> int:
        """How many inputs there are: R and the FFN's a layer, then the logits'."""
        return self.layers * (self.reading + 1) + 1

    def below(self, layer: int) -> int:
        """How many sources stand below a layer."""
        return 1 + layer * (self.heads + 1)

    def heads_of(self, layer: int) -> slice:
        """The heads of a layer among the sources."""
        return slice(self.below(layer), self.below(layer) + self.heads)

    def attention(self, layer: int) -> slice:
        """The inputs of a layer's attention."""
        return slice(self.ffn(layer) - self.reading, self.ffn(layer))

    def ffn(self, layer: int) -> int:
        """The input of a layer's FFN."""
        return (layer + 1) * (self.reading + 1) - 1

    def place(self, number: int) -> Edge:
        """Layer of an input and its place there; the logits are the first of one layer more."""
        return divmod(number, self.reading + 1)

    def read_by(self, number: int) -> int:
        """How many sources an input reads."""
        layer, slot = self.place(number)
        before_ffn = slot == self.reading and not self.parallel[layer]
        return self.below(layer) + (self.heads if before_ffn else 0)

    @cached_property
    def exists(self) -> Tensor:
        """[inputs, U] bool: the edges there are."""
        counts = torch.tensor([self.read_by(number) for number in range(self.inputs)])
        return torch.arange(self.sources) < counts[:, None]

    def source_name(self, source: int) -> str:
        """`embedding`, `L5H3` a head, `L7F` an FFN."""
        if source == 0:
            return "embedding"
        layer, index = divmod(source - 1, self.heads + 1)
        return f"L{layer}F" if index == self.heads else f"L{layer}H{index}"

    def input_name(self, number: int) -> tuple[str, str]:
        """The node and which of its inputs: `q`, `k`, `v`, `ffn` or `logits`.

        A key/value head that several query heads share is `L5KV1`.
        """
        layer, slot = self.place(number)
        if layer == self.layers:
            return "logits", "logits"
        if slot == self.reading:
            return f"L{layer}F", "ffn"
        if slot < self.heads:
            return f"L{layer}H{slot}", "q"
        kind, index = divmod(slot - self.heads, self.kv_heads)
        shared = "KV" if self.kv_heads < self.heads else "H"
        return f"L{layer}{shared}{index}", "kv"[kind]


@dataclass(frozen=True)
class GraphRun:
    """One run of one prompt at all positions: what its sources write and its inputs read."""

    calls: list[LayerCall]
    final: Tensor
    """[n, d] before the final norm."""
    heads: list[Tensor]
    """For each layer [n, H · head width] what enters the attention output projection."""
    scales: list[Tensor | None]
    """For each layer [n, 1] the scale of the norm behind attention, where there is one."""
    ffn: list[Tensor]
    """For each layer [n, d] float32 what the FFN adds."""
    read: list[Tensor]
    """For each layer [n, d] the residual stream that the FFN reads."""

    def entering(self, layer: int) -> Tensor:
        """[n, d] the residual stream entering a layer, or the final norm behind the last one."""
        return self.final if layer == len(self.calls) else self.calls[layer].entering[0]


@torch.no_grad()
def graph_run(model: Model, ids: Sequence[int]) -> GraphRun:
    """Run one prompt and keep what all nodes read and write."""
    parts, length = model.parts, len(ids)
    stores: list[list[Tensor]] = [[], [], [], []]
    heads, outputs, ffn, read = stores

    def into(store: list[Tensor]) -> Callable[[Tensor], None]:
        # A copy: some families add to the tensor in place, some flatten rows and positions.
        return lambda x: store.append(x.detach().reshape(length, -1).clone())

    norms = [model.attention_post_norm(layer) for layer in range(len(parts.layers))]
    with ExitStack() as stack:
        for layer in parts.layers:
            stack.enter_context(before(layer.attention_out, into(heads)))
            stack.enter_context(after(layer.attention_out, into(outputs)))
            stack.enter_context(before(layer.ffn_reader, into(read)))
            stack.enter_context(after(layer.ffn_writer, into(ffn)))
        calls, final = model.run(torch.tensor([list(ids)], device=model.device))
    scales = [
        None if norm is None else norm.scale(x) for norm, x in zip(norms, outputs, strict=True)
    ]
    added = [x.float() * parts.residual_multiplier for x in ffn]
    return GraphRun(calls, final[0], heads, scales, added, read)


def graph_of(model: Model, run: GraphRun) -> Graph:
    """The graph of a model, as any run shows it."""
    parallel = [torch.equal(read, run.entering(layer)) for layer, read in enumerate(run.read)]
    return Graph(model.info.layers, model.parts.heads, model.parts.kv_heads, tuple(parallel))


def head_writes(model: Model, layer: int, entering: Tensor, scale: Tensor | None) -> Tensor:
    """What each head adds to the residual stream [..., H, n, d] float32.

    A bias belongs to no head. Behind a norm it counts by the run's scale; so that all heads
    together are what attention adds, less a constant, each then carries an equal part of it.

    Args:
        model: the model.
        layer: the heads' layer.
        entering: [..., n, H · head width] what enters the attention output projection.
        scale: [..., n, 1] of the norm behind it, where there is one.
    """
    parts = model.parts
    out = parts.layers[layer].attention_out
    matrix = weights.columns(out, parts.dtype).float().unflatten(0, (parts.heads, -1))
    by_head = entering.float().unflatten(-1, (parts.heads, -1)).transpose(-2, -3)
    writes = by_head @ matrix.to(by_head.device)  # [..., H, n, d]
    norm = model.attention_post_norm(layer)
    if norm is not None and scale is not None:
        bias = weights.bias(out)
        share = 0 if bias is None else bias.float() / parts.heads
        writes = norm.linear(writes + share) * scale[..., None, :, :]
    added: Tensor = writes * parts.residual_multiplier
    return added


def layer_writes(model: Model, run: GraphRun, layer: int, where: slice = slice(None)) -> Tensor:
    """What heads and FFN of a layer add in a run at some positions [H + 1, n, d] float32."""
    scale = run.scales[layer]
    scale = None if scale is None else scale[where]
    heads = head_writes(model, layer, run.heads[layer][where], scale)
    ffn = run.ffn[layer][where][None]
    return torch.cat([heads.to(model.device), ffn.to(model.device)])


def source_writes(model: Model, run: GraphRun, where: slice = slice(None)) -> Tensor:
    """What all sources add in a run at some positions [U, n, d] float32."""
    writes = [run.entering(0)[where][None].float().to(model.device)]
    for layer in range(len(run.calls)):
        checkpoint()
        writes.append(layer_writes(model, run, layer, where))
    return torch.cat(writes)


@dataclass(frozen=True)
class Slot:
    """Where an input of attention shows in what the projections put out."""

    chain: int
    """Which of the projections of `Parts.attention_in`."""
    where: slice
    """Its entries."""


def slots(model: Model) -> list[Slot]:
    """The slots of a layer's queries, keys and values, as the graph has them."""
    parts = model.parts
    queries, shared = parts.heads, parts.kv_heads
    group = queries // shared
    fused = len(parts.family.attention_in) == 1
    places: list[tuple[int, int]]  # chain, place in units of a head
    if not fused:
        places = [(0, head) for head in range(queries)]
        places += [(kind, head) for kind in (1, 2) for head in range(shared)]
    elif parts.family.fused_by_group:
        places = [(0, head // group * (group + 2) + head % group) for head in range(queries)]
        places += [
            (0, head * (group + 2) + group + kind) for kind in (0, 1) for head in range(shared)
        ]
    else:
        places = [(0, place) for place in range(queries + 2 * shared)]
    width = parts.head_width
    return [Slot(chain, slice(at * width, (at + 1) * width)) for chain, at in places]


def projected(model: Model, layer: int, chain: int, streams: Tensor) -> Tensor:
    """What a projection to queries, keys or values makes of streams [..., n, d] before the norm."""
    part = model.parts.layers[layer]
    device = next(part.module.parameters()).device
    x = streams.to(device, model.parts.dtype)
    for module in (part.attention_norm, *model.parts.attention_in(layer)[chain]):
        x = x if module is None else module(x)
    return x


@contextmanager
def projections_changed(
    model: Model, layer: int, change: Callable[[int, Tensor], Tensor]
) -> Iterator[None]:
    """Pass what each projection to queries, keys and values puts out through `change`.

    Args:
        model: the model.
        layer: whose.
        change: takes which of `Parts.attention_in` it is, and its output.
    """
    with ExitStack() as stack:
        for number, chain in enumerate(model.parts.attention_in(layer)):

            def changed(x: Tensor, number: int = number) -> Tensor:
                return change(number, x)

            stack.enter_context(rewriting(chain[-1], changed))
        yield


def ffn_writes(model: Model, call: LayerCall, layer: int, streams: Tensor) -> Tensor:
    """What a layer's FFN adds [B, n, d] float32 where it reads streams [B, n, d].

    The layer runs on these streams with attention adding nothing, so the FFN reads them whether it
    stands behind attention or beside it.
    """
    part = model.parts.layers[layer]
    seen: list[Tensor] = []
    with rewriting(part.attention_writer, torch.zeros_like), after(part.ffn_writer, seen.append):
        call.again(streams.to(call.entering))
    added = seen[0].reshape(streams.shape).to(streams.device, torch.float32)
    return added * model.parts.residual_multiplier
