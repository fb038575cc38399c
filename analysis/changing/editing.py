"""Changes made to weights for real, in what is saved; the model in memory stays as it is.

Scaling what enters a projection is scaling the columns of its matrix: a neuron is a column of the
down projection, a head a block of columns of the attention output projection. Biases belong to
neither.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from analysis.changing.saving import save_folder
from analysis.errors import InputError
from analysis.model import weights
from analysis.refs import HeadRef

if TYPE_CHECKING:
    from analysis.changes import Changes
    from analysis.model.model import Model


def save_edited(model: Model, changes: Changes, folder: Path) -> None:
    """Write a model folder that plain `from_pretrained` loads: config, safetensors, tokenizer.

    Args:
        model: the model; an adapter it wears is merged into the weights.
        changes: what is scaled.
        folder: where to, empty.

    Raises:
        InputError: the weights cannot be edited, or the model lacks a part.
    """
    save_weights(model, edited_weights(model, changes), folder)


def save_weights(model: Model, state: dict[str, Tensor], folder: Path) -> None:
    """The same with weights that are made already."""
    save_folder(model.hf, model.tokenizer, state, folder)


@torch.no_grad()
def edited_weights(model: Model, changes: Changes) -> dict[str, Tensor]:
    """All weights by their names, those with changed columns as copies.

    Raises:
        InputError: the weights cannot be edited, or the model lacks a part.
    """
    model.require_editable()
    for each in changes.interventions:
        model.check_parts(each)
    state: dict[str, Tensor] = dict(model.hf.state_dict())
    if model.info.adapter is not None:
        _check_described(model, state)
    names = {module: name for name, module in model.hf.named_modules()}
    for module, factors in _factors(model, changes).items():
        key = f"{names[module]}.weight"
        state[key] = weights.scaled(module, state[key], factors)
    return state


def _check_described(model: Model, state: dict[str, Tensor]) -> None:
    """Refuse weights that a model made from the config would have no place for.

    Raises:
        InputError: names one; an adapter brought it.
    """
    with torch.device("meta"):
        plain = type(model.hf)(copy.deepcopy(model.hf.config))
    extra = sorted(state.keys() - plain.state_dict().keys())
    if extra:
        raise InputError(
            f"the adapter {model.info.adapter} adds {extra[0]}, which a plain "
            f"{type(model.hf).__name__} has no place for; export it with --format adapter"
        )


def size_of(state: dict[str, Tensor]) -> int:
    """Bytes that weights take on disk; shared ones count once."""
    return sum(
        {each.data_ptr(): each.numel() * each.element_size() for each in state.values()}.values()
    )


def _factors(model: Model, changes: Changes) -> dict[nn.Module, Tensor]:
    """For each projection that is edited the factors of its columns [inputs]."""
    found: dict[nn.Module, Tensor] = {}
    for part, factor in changes.factors:
        layer = model.parts.layers[part.layer]
        head = isinstance(part, HeadRef)
        module = layer.attention_out if head else layer.ffn_out
        if module not in found:
            found[module] = torch.ones(weights.shape(module)[1])
        found[module][model.parts.head_slice(part.index) if head else part.index] = factor
    return found
