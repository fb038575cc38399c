"""What an attention layer does to a vector that it attends to fully: value, then output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from analysis.model import weights
from analysis.model.forward import after, before, for_rows
from analysis.model.graph import Slot, projected, slots
from analysis.model.trace import Trace
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.refs import HeadRef


Called: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and named arguments of a call."""


@torch.no_grad()
def value_output(model: Model, layer: int, vectors: Tensor, head: int | None = None) -> Tensor:
    """The value-output map of an attention layer, its biases left out.

    In a sequence of one token attention has nothing to choose from, so the layer is exactly this
    map; running it that way holds whatever the layout of its weights.

    Args:
        model: the model.
        layer: the attention layer.
        vectors: [c, d] normed inputs.
        head: one query head; None: all of them.

    Returns:
        [c, d] float32.
    """
    rows = torch.cat([vectors, torch.zeros_like(vectors[:1])])
    heads = None if head is None else [head] * len(rows)
    mapped = _on_one_token(model, layer, rows, heads)
    return mapped[:-1] - mapped[-1]


@torch.no_grad()
def pulled_back(model: Model, layer: int, direction: Tensor) -> Tensor:
    """The transposed value-output map of every head of an attention layer.

    Args:
        model: the model.
        layer: the attention layer.
        direction: [d] what the layer's output is measured along.

    Returns:
        [H, d] float32: row h times a normed input is `direction` times what head h makes of it.
    """
    heads = range(model.parts.heads)
    with torch.enable_grad():
        # The map is affine, so its slope is the same everywhere; each head has a row of its own.
        rows = torch.zeros(len(heads), len(direction), device=model.device, requires_grad=True)
        along = _on_one_token(model, layer, rows, heads).to(direction.device) @ direction
        (slopes,) = torch.autograd.grad(along.sum(), rows)
    return slopes


def _on_one_token(
    model: Model, layer: int, rows: Tensor, heads: Sequence[int] | None = None
) -> Tensor:
    """Outputs [c, d] float32 of an attention layer for normed inputs [c, d], each a sequence.

    Args:
        model: the model.
        layer: the attention layer.
        rows: [c, d] the inputs.
        heads: for each row the one head that counts; None: all of them count.
    """
    part = model.parts.layers[layer]
    outputs: list[Tensor] = []

    def only(x: Tensor) -> Tensor | None:
        if heads is None:
            return None
        kept = torch.zeros_like(x)
        for row, head in enumerate(heads):
            kept[row, ..., model.parts.head_slice(head)] = 1
        return x * kept

    args, kwargs = _with_rows(model, on_one_token(model, layer), rows)
    with before(part.attention_out, only), after(part.attention_out, outputs.append):
        part.attention(*args, **kwargs)
    # Some families flatten rows and positions.
    return outputs[0].reshape(len(rows), -1).float()


@torch.no_grad()
def written_values(
    model: Model,
    layer: int,
    vectors: Tensor,
    heads: Sequence[int],
    scaled: bool,
    called: Called | None = None,
) -> Iterator[Tensor]:
    """For each of some heads what it writes where it attends to one vector alone: W_O v.

    Args:
        model: the model.
        layer: the attention layer.
        vectors: [c, d] normed inputs.
        heads: the heads.
        scaled: whether what scales them in a variant counts.
        called: what `on_one_token` gave for the layer; None: it is asked.

    Yields:
        [c, d] float32.
    """
    part = model.parts.layers[layer]
    seen: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
        seen.append(args[0])

    args, kwargs = _with_rows(model, called or on_one_token(model, layer), vectors)
    handle = part.attention_out.register_forward_pre_hook(keep, prepend=not scaled)
    try:
        part.attention(*args, **kwargs)
    finally:
        handle.remove()
    values = seen[0].reshape(len(vectors), -1).float()  # [c, H · head width]
    for head in heads:
        where = model.parts.head_slice(head)
        inputs = torch.arange(where.start, where.stop)
        out = weights.columns(part.attention_out, model.parts.dtype, inputs).float()
        yield values[:, where] @ out.to(values)


def value_lengths(
    model: Model, layer: int, vectors: Tensor, heads: Sequence[int], called: Called
) -> Tensor:
    """How long that is [heads, c], whatever scales the heads in a variant: ‖W_O v‖."""
    written = written_values(model, layer, vectors, heads, scaled=False, called=called)
    return torch.stack([each.norm(dim=-1) for each in written])


def _with_rows(model: Model, called: Called, rows: Tensor) -> Called:
    """A call on one token as one on normed inputs [c, d], each a sequence of its own."""
    args, kwargs = called
    x = rows.to(model.hf.dtype)[:, None]
    kwargs = for_rows(kwargs, len(rows))
    if "hidden_states" in kwargs:
        return args, {**kwargs, "hidden_states": x}
    return (x, *args[1:]), kwargs


def on_one_token(model: Model, layer: int) -> Called:
    """How the model calls the attention of a layer on a sequence of one token."""
    seen: list[Called] = []

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args, dict(kwargs)))

    with ExitStack() as stack:
        attention = model.parts.layers[layer].attention
        handle = attention.register_forward_pre_hook(keep, with_kwargs=True)
        stack.callback(handle.remove)
        model.run(torch.zeros(1, 1, dtype=torch.long, device=model.device))
    return seen[0]


def transform(
    model: Model, layer: int, vectors: Tensor, head: int | None = None, run: Trace | None = None
) -> Tensor:
    """Residual-stream vectors [d] or [c, d] as an attention layer writes them back (Table 7).

    Input norm of the layer (its linear part; in a run also the run's own scale at the last
    position), then value and output, then what stands between attention and the residual stream.
    """
    norm = model.attention_norm(layer)
    if norm is not None:
        entering = None if run is None else run.entering[layer]
        vectors = norm.linear(vectors) * (1.0 if entering is None else norm.scale(entering))
    mapped = value_output(model, layer, vectors.reshape(-1, vectors.shape[-1]), head)
    return as_added(model, layer, mapped.reshape(vectors.shape), run)


@torch.no_grad()
def head_output(model: Model, ids: tuple[int, ...], layer: int, head: int, run: Trace) -> Tensor:
    """What one head adds to the residual stream at the last position of a run [d] float32.

    Args:
        model: the model.
        ids: what was run.
        layer: the head's layer.
        head: its index.
        run: the trace of that run.
    """
    part = model.parts.layers[layer]
    inputs: list[Tensor] = []
    with before(part.attention_out, inputs.append):
        model.run(torch.tensor([list(ids)], device=model.device))
    only = torch.zeros_like(inputs[0][0, -1])
    where = model.parts.head_slice(head)
    only[where] = inputs[0][0, -1, where]
    # Not by calling the module: what scales its input has done so, and would do so again.
    both = part.attention_out.forward(torch.stack([only, torch.zeros_like(only)])[None])[0].float()
    return as_added(model, layer, (both[0] - both[1]).to(model.device), run)


def as_added(model: Model, layer: int, output: Tensor, run: Trace | None) -> Tensor:
    """Outputs of attention [..., d] as they reach the residual stream: normed, multiplied."""
    norm = model.attention_post_norm(layer)
    if norm is not None:
        output = norm.linear(output)
        if run is not None:
            output = output * run.attention_scales[layer]
    return output * model.parts.residual_multiplier


KEYS_AT_ONCE = 4_096
"""Tokens whose keys are scored together."""


@torch.no_grad()
def key_scores(model: Model, head: HeadRef, vector: Tensor) -> Tensor:
    """How a head scores every token's key where a vector is its query: q · k, from the weights.

    Positions are left out, as if query and key stood at the same place: no rotation, no bias by
    distance. Each key is that of a token's embedding behind the layer's input norm; both norms
    take the spread of what they read. The scale and the soft cap of scores change no order.

    Args:
        model: the model.
        head: the head.
        vector: [d] of the residual stream, before the norm.

    Returns:
        [V] float32.
    """
    parts, places = model.parts, slots(model)
    shared = head.index // (parts.heads // parts.kv_heads)

    def seen(slot: Slot, streams: Tensor, key: bool, index: int) -> Tensor:
        found = projected(model, head.layer, slot.chain, streams)[..., slot.where]
        norm = parts.head_norm(head.layer, key, index)
        return (found if norm is None else norm(found)).float()

    query = seen(places[head.index], vector[None], False, head.index)[0]
    scores = []
    for some in parts.embedding_weight.split(KEYS_AT_ONCE):
        checkpoint()
        scores.append(seen(places[parts.heads + shared], some, True, shared) @ query)
    return torch.cat(scores)
