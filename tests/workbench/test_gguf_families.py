"""Each architecture that transformers reads from GGUF and that is one of our families: the folder
made of a file gives the logits of the folder that the file was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf_files import TOKENS
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from analysis.model.families import FAMILIES
from workbench.models.gguf import convert_gguf

LAYERS, HEADS, KV, WIDTH, FFN = 3, 4, 2, 32, 48
DECODER = {
    "vocab_size": len(TOKENS),
    "hidden_size": WIDTH,
    "intermediate_size": FFN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
}
THETA = {"rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0}}
GPT2 = {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64, "n_inner": FFN}

FALCON = {
    "vocab_size": len(TOKENS),
    "hidden_size": WIDTH,
    "ffn_hidden_size": FFN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "bias": False,
} | THETA


@dataclass(frozen=True)
class Case:
    """A small model and what llama.cpp's converter writes of it beside the usual."""

    name: str
    architecture: str
    config: dict[str, Any]
    model_type: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    """`add_…` of the writer by name."""


GEMMA = DECODER | {
    "head_dim": 16,
    "sliding_window": 8,
    "tie_word_embeddings": True,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 16,
}
LOCAL = {"rope_type": "default", "rope_theta": 10_000.0}
HEAD_16 = {"key_length": 16, "value_length": 16, "rope_dimension_count": 16}
CASES = [
    Case("llama", "llama", DECODER | THETA),
    Case("llama tied", "llama", DECODER | THETA | {"tie_word_embeddings": True}),
    Case("llama wide heads", "llama", DECODER | THETA | {"head_dim": 16}, fields=HEAD_16),
    Case("mistral", "llama", DECODER | THETA | {"sliding_window": None}, "mistral"),
    Case("qwen2", "qwen2", DECODER | THETA),
    Case("qwen3", "qwen3", DECODER | THETA | {"head_dim": 16}, fields=HEAD_16),
    Case("phi3", "phi3", DECODER | THETA | {"sliding_window": 8}, fields={"sliding_window": 8}),
    Case(
        "phi3 partly rotary",
        "phi3",
        DECODER | {"rope_parameters": THETA["rope_parameters"] | {"partial_rotary_factor": 0.5}},
        fields={"rope_dimension_count": 4},
    ),
    Case(
        "stablelm",
        "stablelm",
        DECODER
        | {"rope_parameters": THETA["rope_parameters"] | {"partial_rotary_factor": 0.5}}
        | {"use_qkv_bias": True, "layer_norm_eps": 1e-3},
        fields={"rope_dimension_count": 4},
    ),
    Case("gpt2", "gpt2", GPT2 | {"vocab_size": len(TOKENS)}),
    Case(
        "bloom",
        "bloom",
        {"vocab_size": len(TOKENS), "hidden_size": WIDTH, "n_layer": LAYERS, "n_head": HEADS},
    ),
    Case("falcon", "falcon", FALCON | {"multi_query": True}),
    Case("falcon tied", "falcon", FALCON | {"multi_query": True, "tie_word_embeddings": True}),
    Case("falcon biased", "falcon", FALCON | {"multi_query": True, "bias": True}),
    Case("falcon many", "falcon", FALCON | {"multi_query": False}),
    Case("falcon new", "falcon", FALCON | {"new_decoder_architecture": True, "num_kv_heads": KV}),
    Case(
        "falcon one norm",
        "falcon",
        FALCON
        | {"new_decoder_architecture": True, "num_kv_heads": KV, "num_ln_in_parallel_attn": 1},
    ),
    Case(
        "gemma2",
        "gemma2",
        GEMMA | {"attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0},
        fields=HEAD_16
        | {"sliding_window": 8, "attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0},
    ),
    Case(
        "gemma3",
        "gemma3",
        GEMMA
        | {
            "num_hidden_layers": 7,
            "rope_parameters": {
                "full_attention": THETA["rope_parameters"],
                "sliding_attention": LOCAL,
            },
        },
        "gemma3_text",
        HEAD_16 | {"sliding_window": 8},
    ),
]


def test_every_architecture_that_is_one_of_our_families_has_a_case():
    ours = {kind.removesuffix("_text") for family in FAMILIES for kind in family.model_types}
    readable = set(GGUF_SUPPORTED_ARCHITECTURES) & ours
    assert {case.name.split()[0] for case in CASES} == readable


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_converted_file_gives_the_logits_of_the_folder_it_was_made_of(case, tmp_path):
    model = random_model(case)
    file = write(tmp_path / f"{case.name.split()[0]}.gguf", case, model)
    (tmp_path / "into").mkdir()
    convert_gguf(file, tmp_path / "into", lambda message: None)
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "into", dtype=torch.float32).eval()
    ids = torch.randint(0, len(TOKENS), (1, 24), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        want, found = (each(input_ids=ids, use_cache=False).logits for each in (model, again))
    assert want.std() > 0.1
    assert (want - found).abs().max() < 1e-4


def random_model(case: Case) -> Any:
    config = AutoConfig.for_model(case.model_type or case.architecture, **case.config)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(noise, alpha=0.2)
            else:
                parameter.copy_(noise * 0.4)
    model.tie_weights()
    return model


def write(path: Path, case: Case, model: Any, **more: Any) -> Path:
    """Write a model as llama.cpp's converter does."""
    config = model.config
    writer = gguf.GGUFWriter(path, case.architecture)
    writer.add_name(case.name)
    theta = next(iter(_ropes(config)), {}).get("rope_theta", 10_000.0)
    rms = next((getattr(config, key) for key in ("rms_norm_eps",) if hasattr(config, key)), None)
    usual = {
        "context_length": getattr(config, "max_position_embeddings", None) or 64,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": getattr(config, "intermediate_size", None) or _ffn(config),
        "head_count": config.num_attention_heads,
        "head_count_kv": getattr(config, "num_key_value_heads", None) or _kv(config),
        "rope_freq_base": theta,
        "vocab_size": config.vocab_size,
    }
    if rms is None:
        key = "layer_norm_eps" if hasattr(config, "layer_norm_eps") else "layer_norm_epsilon"
        usual["layer_norm_eps"] = getattr(config, key)
    else:
        usual["layer_norm_rms_eps"] = rms
    for key, value in (usual | case.fields | more).items():
        getattr(writer, f"add_{key}")(value)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([1] * 257 + [3])
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(257)
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == case.architecture)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    tied = config.tie_word_embeddings
    for name, tensor in model.state_dict().items():
        if (tied and name == "lm_head.weight") or name.endswith("masked_bias"):
            continue
        values = stored(case, name, tensor.numpy(), config)
        bare = name.removeprefix("transformer.") if case.architecture == "bloom" else name
        found = names.get_name(bare, try_suffixes=(".weight", ".bias"))
        assert found is not None, name
        writer.add_tensor(found, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(case: Case, name: str, values: Any, config: Any) -> Any:
    """A tensor in the order and the values of llama.cpp."""
    part = name.split(".")[-2]
    if case.architecture == "llama" and part in ("q_proj", "k_proj"):
        heads = config.num_attention_heads if part == "q_proj" else config.num_key_value_heads
        halves = values.reshape(heads, 2, len(values) // heads // 2, *values.shape[1:])
        return halves.swapaxes(1, 2).reshape(values.shape)
    if case.architecture in ("gemma2", "gemma3") and "norm" in part:
        return values + 1
    if case.architecture == "gpt2" and part in ("c_attn", "c_proj", "c_fc") and values.ndim == 2:
        return values.T
    if part == "query_key_value" and case.architecture in ("bloom", "falcon"):
        groups = HEADS if case.architecture == "bloom" else _kv(config)
        size = WIDTH // HEADS
        each = values.reshape(groups, -1, size, *values.shape[1:])
        split = [each[:, :-2], each[:, -2:-1], each[:, -1:]]
        return np.concatenate([part.reshape(-1, *values.shape[1:]) for part in split])
    return values


def _ropes(config: Any) -> list[dict[str, Any]]:
    given = getattr(config, "rope_parameters", None) or {}
    return [given] if "rope_type" in given else list(given.values())


def _kv(config: Any) -> int:
    if getattr(config, "new_decoder_architecture", False):
        return int(config.num_kv_heads)
    return 1 if getattr(config, "multi_query", False) else int(config.num_attention_heads)


def _ffn(config: Any) -> int:
    return getattr(config, "n_inner", None) or getattr(config, "ffn_hidden_size", 4 * WIDTH)


@pytest.mark.parametrize(
    ("fields", "added"),
    [
        ({"tokenizer_pre": "llama-bpe"}, True),
        ({"tokenizer_pre": "llama-bpe", "add_bos_token": False}, False),
        ({"tokenizer_pre": "tekken"}, True),
        ({"tokenizer_pre": "smollm"}, False),
        ({"tokenizer_pre": "smollm", "add_bos_token": True}, True),
        ({}, False),
    ],
    ids=str,
)
def test_bos_is_added_where_llama_cpp_adds_it(fields, added, tmp_path):
    case = CASES[0]
    file = write(tmp_path / "m.gguf", case, random_model(case), **fields)
    (tmp_path / "into").mkdir()
    convert_gguf(file, tmp_path / "into", lambda message: None)
    ids = AutoTokenizer.from_pretrained(tmp_path / "into")("ab 1").input_ids
    assert (ids[0] == 257) == added
