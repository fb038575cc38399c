"""The matrix a projection multiplies by, however it is stored.

Floats are read as they stand. Weights of 8 or 4 bits are packed in ways of their own, so the module
is asked instead: its answers to unit vectors, its bias silenced, are the columns of its matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import InputError

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PretrainedConfig, PreTrainedModel

FLOAT32 = 4
"""Bytes of a float32 number."""
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


def shares_memory(first: nn.Module, second: nn.Module) -> bool:
    """Whether two modules have the very same matrix."""
    weights = [_plain(each) for each in (first, second)]
    return weights[0] is not None and weights[0] is weights[1]


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


BITS = (8, 4)
"""What `--bits` can round weights to."""
_EXTRA = "pip install 'cna-workbench[quantised]'"


def described(config: PretrainedConfig) -> str | None:
    """How a model's weights are stored, as `4-bit (bitsandbytes)`; None for plain floats."""
    found = _quantisation(config)
    if found is None:
        return None
    bits = 8 if found.get("load_in_8bit") else 4 if found.get("load_in_4bit") else None
    bits = bits or found.get("bits") or found.get("w_bit")
    return f"{f'{bits}-bit' if bits else 'quantised'} ({_method(found)})"


def by_bitsandbytes(config: PretrainedConfig) -> bool:
    """Whether bitsandbytes packed a model's weights."""
    found = _quantisation(config)
    return found is not None and _method(found) == "bitsandbytes"


def rounding(
    config: PretrainedConfig, bits: int | None, dtype: torch.dtype, name: str
) -> dict[str, Any]:
    """What transformers must know beyond the folder to load a model's weights.

    Args:
        config: the model's own.
        bits: round its weights to so many; None: as they are stored.
        dtype: what is computed in.
        name: what to call the model.

    Returns:
        Arguments of `from_pretrained`. None of them for weights that are packed already: even a
        `quantization_config` of None would hide what their own config says.

    Raises:
        InputError: these bits cannot be had, or a library is missing.
    """
    found = _quantisation(config)
    if bits is not None:
        if bits not in BITS:
            raise InputError(f"weights of {bits} bits cannot be made; choose 8 or 4")
        if found is not None:
            raise InputError(f"{name} is quantised already, {described(config)}: leave --bits out")
        _need_bitsandbytes(f"--bits {bits}")
        return {"quantization_config": _bitsandbytes_config(bits, dtype)}
    if by_bitsandbytes(config):
        _need_bitsandbytes(f"{name}, {described(config)},")
    return {}


def cast_floats(hf: PreTrainedModel, dtype: torch.dtype) -> None:
    """Bring a model that bitsandbytes packed to a dtype.

    transformers leaves embeddings, norms and biases beside packed weights as they were saved.
    """
    for parameter in hf.parameters():
        if type(parameter) is nn.Parameter and parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def compute_as_numbers(hf: PreTrainedModel) -> None:
    """Have bitsandbytes use its weights as the numbers they stand for, in the model's dtype.

    Left alone, its kernels also round what they read: to 8 bits beside 8-bit weights, and on some
    CPUs to bfloat16 beside 4-bit ones, which moreover lets no gradient pass. Answers would not be
    linear, and would depend on the machine and on what else is in the batch. To be called before
    the model has run.
    """
    if not by_bitsandbytes(hf.config):
        return
    from bitsandbytes.nn.modules import Linear4bit, Linear8bitLt

    for name, module in list(hf.named_modules()):
        if isinstance(module, Linear4bit):
            _compute_in(module, hf.dtype)
        elif isinstance(module, Linear8bitLt) and module.weight.dtype == torch.int8:
            hf.set_submodule(name, EightBitLinear(module))


def _compute_in(module: Any, dtype: torch.dtype) -> None:
    """Have a bitsandbytes `Linear4bit` unpack its weight to a dtype and compute in it."""
    module.support_avx512bf16_for_cpu = False
    module.compute_dtype = module.weight.quant_state.dtype = dtype
    module.compute_type_is_set = True


class EightBitLinear(nn.Linear):
    """A projection with 8-bit weights and a scale a row. The numbers it reads are not rounded."""

    scale: Tensor
    """[outputs, 1]"""

    def __init__(self, source: Any) -> None:
        """Take over the weights of a bitsandbytes `Linear8bitLt`."""
        super().__init__(source.in_features, source.out_features, bias=False, device="meta")
        rows = source.weight.SCB if source.weight.SCB is not None else source.state.SCB
        self.weight = nn.Parameter(source.weight.data, requires_grad=False)
        self.register_buffer("scale", rows.float()[:, None] / 127)
        self.bias = source.bias

    def forward(self, x: Tensor) -> Tensor:
        """[…, inputs] to […, outputs], in the dtype of `x`."""
        product: Any = _Product.apply
        answer: Tensor = product(x, self.weight, self.scale)
        return answer if self.bias is None else answer + self.bias.to(x.dtype)


class _Product(torch.autograd.Function):
    """`x @ (weight · scale).T`; a backward pass keeps the packed weight and makes its floats anew.

    Otherwise it would hold those of every layer at once.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, scale)
        return x @ (weight * scale).to(x.dtype).T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        weight, scale = ctx.saved_tensors
        return grad @ (weight * scale).to(grad.dtype), None, None


def _quantisation(config: PretrainedConfig) -> Mapping[str, Any] | None:
    """The quantisation a config speaks of, in its file's form."""
    found = getattr(config, "quantization_config", None)
    if found is None or isinstance(found, dict):
        return found or None
    plain: dict[str, Any] = found.to_dict()
    return plain


def _method(found: Mapping[str, Any]) -> str:
    """The library or format, by its usual name; older bitsandbytes configs do not say it."""
    name = found.get("quant_method", "bitsandbytes")
    return str(getattr(name, "value", name))


def _bitsandbytes_config(bits: int, dtype: torch.dtype) -> BitsAndBytesConfig:
    from transformers import BitsAndBytesConfig

    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
    )


def _need_bitsandbytes(what: str) -> None:
    if find_spec("bitsandbytes") is None:
        raise InputError(f"{what} needs bitsandbytes: {_EXTRA}")
