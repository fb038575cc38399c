"""Model folders that transformers 5 and the last 4.x (4.57) both read as the same model.

transformers 5 writes some things in a spelling of its own. Version 4 does not know it and goes on
with its defaults, silently; so a folder holds the older spelling too. Version 5 reads either.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.model import weights
from analysis.refs import HeadRef

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

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
        model.info.check_parts(each)
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


_OLD_ROPE = {"gpt_neox": ("rotary_emb_base", "rotary_pct")}
"""What a family called the base of its rotary positions and the share of a head they turn."""
_TYPE = ("olmo2", "phi3")
"""Families whose `rope_scaling` had to hold its kind as `type`, and nothing they did not know."""
_SAID = ("model_input_names", "padding_side", "clean_up_tokenization_spaces")
"""What a tokenizer's own class would say where its file does not."""


def save_folder(
    hf: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    state: dict[str, Tensor],
    folder: Path,
) -> None:
    """Write config, safetensors and tokenizer.

    Args:
        hf: the model, whose config is written.
        tokenizer: its tokenizer.
        state: the weights by name, floats of one dtype; the config names it.
        folder: where to, empty.
    """
    dtype = next(each.dtype for each in state.values() if each.is_floating_point())
    mark_as_floats(hf)
    with _generation_apart(hf, folder):
        hf.save_pretrained(folder, state_dict=state)
    tokenizer.save_pretrained(folder)
    config = _read(folder / "config.json") | {"dtype": str(dtype).removeprefix("torch.")}
    _write(folder / "config.json", config | _older_config(config))
    described = _read(folder / "tokenizer_config.json")
    _write(folder / "tokenizer_config.json", _older_tokenizer(described, tokenizer))


def stored_as(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights rounded to a dtype; those that were one tensor stay one.

    Raises:
        InputError: one is too large for it.
    """
    cast: dict[tuple[int, torch.Size], Tensor] = {}
    for name, each in state.items():
        key = (each.data_ptr(), each.shape)
        if not each.is_floating_point() or key in cast:
            continue
        cast[key] = each.to(dtype)
        if not cast[key].isfinite().equal(each.isfinite()):
            kind = str(dtype).removeprefix("torch.")
            raise InputError(f"{name} holds numbers too large for {kind}; store it in bfloat16")
    return {name: cast.get((each.data_ptr(), each.shape), each) for name, each in state.items()}


def mark_as_floats(hf: PreTrainedModel) -> None:
    """Let transformers save a model that came from GGUF.

    Its tensors are plain floats by then, but transformers goes on calling it quantised.
    """
    if hasattr(hf.config, "quantization_config"):
        del hf.config.quantization_config
    plain: Any = hf
    plain.hf_quantizer = None
    plain.is_quantized = False


@contextmanager
def _generation_apart(hf: PreTrainedModel, folder: Path) -> Iterator[None]:
    """Write a model's generation config as it is: transformers saves none that it finds unwise."""
    from transformers import GenerationConfig

    own: Any = hf.generation_config
    plain: Any = hf
    plain.generation_config = GenerationConfig()
    try:
        yield
    finally:
        plain.generation_config = own
    if own is not None:
        own.to_json_file(folder / "generation_config.json")


def _older_config(config: dict[str, Any]) -> dict[str, Any]:
    """What transformers 4 looks for in a config, from what transformers 5 wrote."""
    older = {"torch_dtype": config["dtype"]}
    rope = config.get("rope_parameters")
    if not rope:
        return older
    if "full_attention" in rope:  # Gemma 3: positions of its own for each kind of layer
        older["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    family = config["model_type"]
    theta, share = _OLD_ROPE.get(family, ("rope_theta", "partial_rotary_factor"))
    scaling = {name: value for name, value in rope.items() if name != "type"}
    older[theta] = scaling.pop("rope_theta")
    if "partial_rotary_factor" in scaling:
        older[share] = scaling.pop("partial_rotary_factor")
    kind = scaling.pop("rope_type")
    if kind == "default":
        return older
    if kind == "longrope":
        older["original_max_position_embeddings"] = scaling["original_max_position_embeddings"]
    if family in _TYPE:
        scaling.pop("original_max_position_embeddings", None)
    return older | {"rope_scaling": scaling | {"type" if family in _TYPE else "rope_type": kind}}


def _older_tokenizer(
    described: dict[str, Any], tokenizer: PreTrainedTokenizerBase
) -> dict[str, Any]:
    """A tokenizer's description as both versions read it.

    The class is the one that takes `tokenizer.json` as it stands. Those of single families, such as
    LlamaTokenizer, put their own idea of the first token over it in transformers 4, as
    transformers 5 does not write `add_bos_token`.
    """
    if not tokenizer.is_fast:
        return described
    written = described | {"tokenizer_class": "PreTrainedTokenizerFast"}
    written |= {name: getattr(tokenizer, name) for name in _SAID}
    if isinstance(written.get("extra_special_tokens"), list):
        written["additional_special_tokens"] = written.pop("extra_special_tokens")
    splitter = getattr(tokenizer, "backend_tokenizer").pre_tokenizer  # noqa: B009
    split = {} if splitter is None else json.loads(splitter.__getstate__())
    if "add_prefix_space" in split:  # version 4 would set it to what is said here, or to false
        written["add_prefix_space"] = split["add_prefix_space"]
    return written


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def _write(file: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
