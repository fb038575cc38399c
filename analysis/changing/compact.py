"""Pruned FFNs: neurons silenced by a mask, or really gone from smaller projections in memory.

Both forms compute the same. The compact one holds fewer numbers and takes less time. Its layers
have FFNs of different widths, which no Hugging Face config can say: a model in compact form lives
in memory only, made by `compacted` from the whole one and undone by it.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.model import weights
from analysis.model.forward import before
from analysis.model.parts import Layer
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model

Kept = Mapping[int, Tensor]
"""For each pruned layer the indices [k] of the neurons that stay, in ascending order."""
TIMED_TOKENS, TIMED_RUNS = 256, 5
"""How long a sequence is timed, and how often; the median counts."""


@contextmanager
def masked(model: Model, kept: Kept) -> Iterator[None]:
    """Silence all other neurons of the pruned layers while the block runs."""

    def silencing(indices: Tensor) -> Callable[[Tensor], Tensor]:
        def change(coefficients: Tensor) -> Tensor:
            mask = coefficients.new_zeros(coefficients.shape[-1])
            mask[indices.to(mask.device)] = 1
            return coefficients * mask

        return change

    with ExitStack() as stack:
        for layer, indices in kept.items():
            stack.enter_context(before(model.parts.layers[layer].ffn_out, silencing(indices)))
        yield


@contextmanager
def compacted(model: Model, kept: Kept) -> Iterator[None]:
    """Put smaller projections in place of the pruned layers' while the block runs.

    The neurons that stay are numbered anew from 0. The whole projections are kept aside, so
    undoing it copies nothing.

    Raises:
        InputError: their weights are not plain floats, or an adapter is on them.
    """
    model.require_editable()
    bare = model.parts
    whole = {
        path: module
        for layer in kept
        for path, module in _projections(model, bare.layers[layer]).items()
    }
    small = {
        path: module
        for layer, indices in kept.items()
        for path, module in _smaller(model, bare.layers[layer], indices).items()
    }
    try:
        model.put(small)
        replaced = {id(whole[path]): module for path, module in small.items()}
        layers = tuple(_with(layer, replaced) for layer in bare.layers)
        model.parts = replace(bare, layers=layers)
        yield
    finally:
        model.put(whole)
        model.parts = bare


_FFN = ("ffn_gate", "ffn_up", "ffn_gate_up", "ffn_out")


def _with(layer: Layer, replaced: Mapping[int, nn.Module]) -> Layer:
    """A layer's parts with some of them replaced."""
    parts = {name: getattr(layer, name) for name in _FFN}
    return replace(layer, **{name: replaced.get(id(each), each) for name, each in parts.items()})


def _projections(model: Model, layer: Layer) -> dict[str, nn.Module]:
    """The projections of a layer's FFN by their path in the model."""
    ids = {id(getattr(layer, name)) for name in _FFN}
    prefix = next(path for path, each in model.hf.named_modules() if each is layer.module)
    return {
        f"{prefix}.{path}": module
        for path, module in layer.module.named_modules()
        if id(module) in ids
    }


def _smaller(model: Model, layer: Layer, indices: Tensor) -> dict[str, nn.Module]:
    """Copies of a layer's FFN projections that have only these neurons."""
    small = {}
    for path, module in _projections(model, layer).items():
        if module is layer.ffn_out:
            small[path] = _slice(model, module, indices, of_outputs=False)
        elif module is layer.ffn_gate_up:  # gate rows first, then as many of up
            rows = torch.cat([indices, indices + model.parts.neurons])
            small[path] = _slice(model, module, rows, of_outputs=True)
        else:
            small[path] = _slice(model, module, indices, of_outputs=True)
    return small


def _slice(model: Model, module: nn.Module, indices: Tensor, of_outputs: bool) -> nn.Module:
    """A projection with some of its outputs, or of its inputs."""
    stored = None if hasattr(module, "base_layer") else weights.stored(module)
    if stored is None:
        raise InputError(
            f"the FFN of {model.info.name} cannot be made smaller: its projections are "
            f"{type(module).__name__}, not plain floats"
        )
    indices = indices.to(stored.device)
    matrix = stored[indices] if of_outputs else stored[:, indices]  # [outputs, inputs]
    bias = weights.bias(module)
    outputs, inputs = matrix.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a layer may keep no neuron at all
        small = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    small.weight = nn.Parameter(matrix.contiguous(), requires_grad=False)
    if bias is not None:
        kept = bias.detach()[indices] if of_outputs else bias.detach()
        small.bias = nn.Parameter(kept, requires_grad=False)
    return small.train(module.training)


@dataclass(frozen=True)
class Size:
    """What a form of the model takes."""

    parameters: int
    bytes: int
    seconds: float
    """Median forward time of one sequence of `TIMED_TOKENS`."""


@dataclass(frozen=True)
class Forms:
    """The masked and the compact form of a pruned model, side by side."""

    masked: Size
    compact: Size
    difference: float
    """Largest difference of a logit at any position, relative to the largest logit."""


@torch.no_grad()
def compare_forms(model: Model, kept: Kept) -> Forms:
    """Run both forms on the same random tokens, in turn."""
    length = min(TIMED_TOKENS, model.info.context)
    rng = random.Random(0)
    tokens = torch.tensor(
        [[rng.randrange(model.info.vocabulary) for _ in range(length)]], device=model.device
    )
    seconds: dict[str, list[float]] = {"masked": [], "compact": []}
    counted: dict[str, tuple[int, int]] = {}
    logits: dict[str, Tensor] = {}
    forms: dict[str, Callable[[Model, Kept], AbstractContextManager[None]]] = {
        "masked": masked,
        "compact": compacted,
    }
    for turn in range(TIMED_RUNS + 1):
        for name, form in forms.items():
            checkpoint()
            with form(model, kept):
                if turn == 0:  # warms up, too
                    counted[name] = _counted(model)
                    _, final = model.run(tokens)
                    logits[name] = model.logits(final)
                else:
                    seconds[name].append(_timed(model, tokens))
    sizes = {name: Size(*counted[name], median(seconds[name])) for name in forms}
    difference = (logits["masked"] - logits["compact"]).abs().max() / logits["masked"].abs().max()
    return Forms(sizes["masked"], sizes["compact"], difference.item())


def _counted(model: Model) -> tuple[int, int]:
    """Parameters of the model as it is now, and their bytes."""
    parameters = list(model.hf.parameters())
    return sum(each.numel() for each in parameters), sum(each.nbytes for each in parameters)


def _timed(model: Model, tokens: Tensor) -> float:
    begun = time.perf_counter()
    model.hf(input_ids=tokens, use_cache=False, logits_to_keep=1)
    if tokens.is_cuda:
        torch.cuda.synchronize(tokens.device)
    return time.perf_counter() - begun
