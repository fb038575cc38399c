"""Running a model: clean passes that can be resumed at any layer, and interventions by hooks.

Shapes: B rows, n tokens, d width, H query heads, N neurons, V vocabulary. Nothing is patched and
no weight is copied; every hook is removed when its block ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.interventions import Intervention
from analysis.model.parts import Parts
from analysis.progress import checkpoint


def first(output: Any) -> Tensor:
    """The hidden states of a module that may return a tuple."""
    tensor = output[0] if isinstance(output, tuple) else output
    assert isinstance(tensor, Tensor)
    return tensor


@contextmanager
def before(module: nn.Module, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Pass a module's input through `change`; None leaves it as it is."""

    def hook(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        changed = change(args[0])
        return None if changed is None else (changed, *args[1:])

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def after(module: nn.Module, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Show a module's output to `see`."""
    handle = module.register_forward_hook(lambda module, args, output: see(first(output)))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def rewriting(module: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Pass a module's output through `change`."""
    handle = module.register_forward_hook(lambda module, args, output: change(output))
    try:
        yield
    finally:
        handle.remove()


@dataclass(frozen=True)
class LayerCall:
    """How the model called one of its layers, so that the layer can be called again."""

    layer: nn.Module
    entering: Tensor
    """The residual stream entering the layer [1, n, d]."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def again(self, entering: Tensor) -> Tensor:
        """Run the layer on other rows [B, n, d] with everything else as it was."""
        return first(self.layer(entering, *self.args, **for_rows(self.kwargs, len(entering))))


def resumed(calls: Sequence[LayerCall], entering: Tensor | None = None) -> Tensor:
    """Run layers again, one after the other: what is below them is not run.

    Args:
        calls: how a clean run called them.
        entering: [B, n, d] what enters the first of them; None: what did in the clean run.

    Returns:
        [B, n, d] leaving the last of them, on its device.
    """
    x = calls[0].entering if entering is None else entering
    for call in calls:
        checkpoint()
        x = call.again(x.to(call.entering.device))
    return x


def for_rows(kwargs: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Arguments of a call on one row, for several: all but position biases spread by themselves."""
    alibi = kwargs.get("alibi")
    if alibi is None:
        return dict(kwargs)
    return {**kwargs, "alibi": alibi.repeat(rows, *(1 for _ in alibi.shape[1:]))}


def layer_calls(
    model: nn.Module, parts: Parts, **inputs: Any
) -> tuple[list[LayerCall], Tensor, Any]:
    """Run the model once and keep how each layer was called.

    Returns:
        The calls, the residual stream leaving the last layer [1, n, d], and the model's output.
    """
    calls: list[LayerCall] = []
    final: list[Tensor] = []

    def keep(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        checkpoint()
        rest = dict(kwargs)
        hidden = rest.pop("hidden_states") if "hidden_states" in rest else args[0]
        calls.append(LayerCall(layer, hidden, args[1:], rest))

    def keep_final(module: nn.Module, args: tuple[Any, ...]) -> None:
        final.append(args[0])

    with ExitStack() as stack:
        for layer in parts.layers:
            handle = layer.module.register_forward_pre_hook(keep, with_kwargs=True)
            stack.callback(handle.remove)
        stack.callback(parts.final_norm.register_forward_pre_hook(keep_final).remove)
        output = model(**{"use_cache": False, **inputs})
    return calls, final[0], output


@contextmanager
def intervening(
    parts: Parts,
    interventions: Sequence[Intervention],
    means: Mapping[int, Tensor] | None = None,
) -> Iterator[None]:
    """Scale heads and neurons at every position of every row while the block runs.

    Args:
        parts: the model's parts.
        interventions: what to scale, by which factor.
        means: for mean ablation, the mean input of each layer's attention output projection
            [H · head width]; an ablated head is replaced by its mean instead of zero.
    """
    heads: defaultdict[int, list[tuple[slice, float]]] = defaultdict(list)
    neurons: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for each in interventions:
        for head in each.heads:
            heads[head.layer].append((parts.head_slice(head.index), each.factor))
        for neuron in each.neurons:
            here = neurons[neuron.layer]
            here[neuron.index] = here.get(neuron.index, 1.0) * each.factor
    with ExitStack() as stack:
        for number, scales in heads.items():
            mean = None if means is None else means[number]
            change = _scale_heads(scales, mean)
            stack.enter_context(before(parts.layers[number].attention_out, change))
        for number, factors in neurons.items():
            stack.enter_context(before(parts.layers[number].ffn_out, _scale_neurons(factors)))
        yield


def _scale_heads(
    scales: list[tuple[slice, float]], mean: Tensor | None
) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x = x.clone()
        for where, factor in scales:
            part = x[..., where] * factor
            if mean is not None:
                part = part + (1 - factor) * mean[where].to(part)
            x[..., where] = part
        return x

    return change


def _scale_neurons(factors: dict[int, float]) -> Callable[[Tensor], Tensor]:
    index = torch.tensor(list(factors))
    factor = torch.tensor(list(factors.values()))

    def change(coefficients: Tensor) -> Tensor:
        scale = coefficients.new_ones(coefficients.shape[-1])
        scale[index.to(scale.device)] = factor.to(scale)
        return coefficients * scale

    return change
