"""Values of residual stream, attention, FFN, heads and neurons, seen and changed by plain hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from plainly import Ids, Plainly, part
from torch import Tensor


@contextmanager
def seen(plain: Plainly, unit: str, layer: int, see) -> Iterator[None]:
    """Pass a unit's values in a layer [n, …] through a function, whatever form they have there."""
    block, case = plain.layers[layer], plain.case
    outputs = {
        "attention": (case.attention_post_norm, plain.attention_out(layer)),
        "ffn": (case.ffn_post_norm, plain.ffn_out(layer)),
    }
    inputs = {
        "residual": block,
        "head": plain.attention_out(layer),
        "neuron": plain.ffn_out(layer),
    }

    def changed(x: Tensor) -> Tensor:
        return see(x.reshape(-1, x.shape[-1]).clone()).reshape(x.shape)

    if unit in inputs:
        handle = inputs[unit].register_forward_pre_hook(
            lambda module, args: (changed(args[0]), *args[1:])
        )
    else:
        path, module = outputs[unit]
        handle = (part(block, path) if path else module).register_forward_hook(
            lambda module, args, output: changed(output)
        )
    yield
    handle.remove()


def columns(plain: Plainly, unit: str, index: int | None) -> slice:
    if unit == "head":
        return plain.head_columns(index)
    return slice(None) if index is None else slice(index, index + 1)


def values(plain: Plainly, unit: str, ids: Ids) -> list[Tensor]:
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x.clone())
        return x

    with ExitStack() as stack:
        for layer in range(len(plain.layers)):
            stack.enter_context(seen(plain, unit, layer, keep))
        plain._logits(ids)
    return found
