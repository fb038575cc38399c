"""Models that bitsandbytes packed, and the float models with the very same numbers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel


def loaded(folder: Path, dtype: str = "float32", **packing: Any) -> PreTrainedModel:
    """A folder's model as transformers loads it, packed on the way where that is asked for."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    given = {"quantization_config": BitsAndBytesConfig(**packing)} if packing else {}
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=getattr(torch, dtype), device_map="cpu", **given
    )


def write_packed(source: Path, into: Path, dtype: str = "float32", **packing: Any) -> Path:
    """Save a model folder with its weights packed."""
    loaded(source, dtype, **packing).save_pretrained(into)
    for file in source.glob("token*"):
        shutil.copy(file, into)
    return into


def with_plain_numbers(hf: PreTrainedModel) -> PreTrainedModel:
    """Put a float Linear, holding what bitsandbytes itself unpacks, in each packed one's place.

    All else becomes float32.

    The model must not have run: that can change how its weights are laid out.
    """
    import torch
    from bitsandbytes.nn import Linear4bit, Linear8bitLt
    from torch import nn

    found = [
        (name, module)
        for name, module in hf.named_modules()
        if isinstance(module, Linear4bit | Linear8bitLt)
    ]
    assert found, "nothing is packed"
    for name, module in found:
        weight = _unpacked(module)
        plain = nn.Linear(weight.shape[1], weight.shape[0], bias=module.bias is not None)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        if module.bias is not None:
            plain.bias = nn.Parameter(module.bias.detach().to(torch.float32), requires_grad=False)
        hf.set_submodule(name, plain)
    for parameter in hf.parameters():
        parameter.data = parameter.data.to(torch.float32)
    hf.train(False)
    hf.requires_grad_(False)
    return hf


def _unpacked(module: nn.Module) -> Tensor:
    """[outputs, inputs] float32, by bitsandbytes' own functions."""
    import torch
    from bitsandbytes import functional
    from bitsandbytes.nn import Linear4bit

    weight = module.weight
    if isinstance(module, Linear4bit):
        weight.quant_state.dtype = torch.float32
        return functional.dequantize_4bit(weight.data, weight.quant_state)
    return functional.int8_vectorwise_dequant(weight.CB, weight.SCB)
