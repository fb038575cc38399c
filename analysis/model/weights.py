"""The matrix a projection multiplies by, however it is stored.

Floats are read as they stand. Weights of 8 or 4 bits are packed in ways of their own, so the module
is asked instead: its answers to unit vectors, its bias silenced, are the columns of its matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CHUNK = 1_024
"""Unit vectors in one question; each is as long as the projection's input."""
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def shape(module: nn.Module) -> tuple[int, int]:
    """Outputs and inputs of a projection."""
    base = _base(module)
    weight = _plain(base)
    if weight is None:
        return int(getattr(base, "out_features")), int(getattr(base, "in_features"))  # noqa: B009
    outputs, inputs = weight.T.shape if is_transposed(base) else weight.shape
    return int(outputs), int(inputs)


def columns(module: nn.Module, dtype: torch.dtype, inputs: Tensor | None = None) -> Tensor:
    """Columns of a projection's matrix, as rows [c, outputs]. An adapter on it counts.

    Args:
        module: the projection.
        dtype: what the module takes and computes in.
        inputs: [c] which columns; None: all of them.
    """
    kept = stored(module)
    if kept is not None:
        return kept.T if inputs is None else kept.T[inputs.to(kept.device)]
    if inputs is None:
        inputs = torch.arange(shape(module)[1])
    return torch.cat([_answers(module, some, dtype) for some in inputs.split(CHUNK)])


def stored(module: nn.Module) -> Tensor | None:
    """The matrix [outputs, inputs] a module keeps as plain floats; None where it keeps none.

    One under an adapter that is not merged keeps none: the adapter is another part of it.
    """
    weight = _plain(module)
    return None if weight is None else weight.T if is_transposed(module) else weight


def is_plain(module: nn.Module) -> bool:
    """Whether a module's weight is a matrix of floats, which can be changed."""
    return _plain(module) is not None


def scaled(module: nn.Module, weight: Tensor, factors: Tensor) -> Tensor:
    """A projection's matrix, kept as the module keeps it, with each column times a factor.

    Args:
        module: the projection.
        weight: [outputs, inputs], or transposed if that is how the module keeps it.
        factors: [inputs].
    """
    by_column = factors[:, None] if is_transposed(module) else factors
    # In float32, so that half precision rounds once.
    return (weight.float() * by_column.to(weight.device)).to(weight.dtype)


def bias(module: nn.Module) -> Tensor | None:
    """[outputs], where a projection has one."""
    found = getattr(module, "bias", None)
    return found if isinstance(found, Tensor) else None


@torch.no_grad()
def _answers(module: nn.Module, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """What a module answers to unit vectors [c], without its bias: [c, outputs]."""
    held = dict(module.named_parameters()) | dict(module.named_buffers())
    device = next(iter(held.values())).device
    silent = {
        name: torch.zeros_like(value)
        for name, value in held.items()
        if name.rpartition(".")[2] == "bias"
    }
    units = torch.zeros(len(inputs), shape(module)[1], dtype=dtype, device=device)
    units[torch.arange(len(inputs), device=device), inputs.to(device)] = 1
    # Taking the bias off an answer would round: in low precision it can hide the weight.
    inside = {f"module.{name}": value for name, value in silent.items()}
    answers = torch.func.functional_call(_Unhooked(module), inside, (units,))
    assert isinstance(answers, Tensor)
    return answers


class _Unhooked(nn.Module):
    """A module without its hooks: what changes its input in a run is no part of its matrix."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        answer = self.module.forward(x)
        assert isinstance(answer, Tensor)
        return answer


def _plain(base: nn.Module) -> Tensor | None:
    """A weight that is a matrix of floats and no more; packed ones are classes of their own."""
    weight = getattr(base, "weight", None)
    if not isinstance(weight, Tensor) or type(weight) not in (Tensor, nn.Parameter):
        return None
    return weight if weight.dtype in _FLOATS else None


def _base(module: nn.Module) -> nn.Module:
    """The module below an adapter."""
    base = getattr(module, "base_layer", module)
    assert isinstance(base, nn.Module)
    return base


def is_transposed(module: nn.Module) -> bool:
    """GPT-2's Conv1D stores [inputs, outputs], a Linear [outputs, inputs]."""
    return type(_base(module)).__name__ == "Conv1D"
