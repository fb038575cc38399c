"""Tiny random models of every family, with a tokenizer, built in memory.

A case says where the plain computation finds the weights it edits. That is on purpose not read
from the family table: a wrong row there must make a test fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tokenizers import Tokenizer, models, processors
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from analysis.model.loading import open_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from analysis.model.model import Model

LAYERS, HEADS, WIDTH, HEAD, NEURONS = 3, 4, 32, 8, 24
"""Shape of every tiny model. An odd thing out is said in its case."""

ALPHABET = "\n !\"'()*+,-./0123456789:;=?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
MERGES = [
    "th",
    "the",
    "an",
    "and",
    "on",
    "one",
    "to",
    "tw",
    "two",
    "su",
    "sum",
    "re",
    "ree",
    "three",
    "se",
    "ea",
    "sea",
    "is",
    "in",
    "ing",
]
VOCABULARY = 128


def tokenizer(bos: bool) -> PreTrainedTokenizerFast:
    """One token a character, some words whole; with `bos`, `<s>` stands before every text."""
    pieces = ["<unk>", "<s>", "</s>", *ALPHABET, *MERGES]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    merges = [
        (piece[:cut], piece[cut:])
        for piece in MERGES
        for cut in range(1, len(piece))
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    if bos:
        inner.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def separate_value(layer: nn.Module) -> Tensor:
    """W_V [kv heads · head, d] where values have a projection of their own."""
    weight = layer.self_attn.v_proj.weight
    assert isinstance(weight, Tensor)
    return weight


@dataclass(frozen=True, eq=False)
class TinyCase:
    """One tiny model: its config, and where the plain computation finds its weights."""

    name: str
    model_type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    bos: bool = False
    seed: int = 0
    gain: float = 1.0
    """Factor on all matrices."""

    layers: str = "model.layers"
    final_norm: str = "model.norm"
    attention_out: str = "self_attn.o_proj"
    ffn_out: str = "mlp.down_proj"
    attention_norm: str | None = "input_layernorm"
    attention_post_norm: str | None = None
    ffn_norm: str | None = "post_attention_layernorm"
    ffn_in: tuple[str, ...] = ("mlp.gate_proj", "mlp.up_proj")
    ffn_post_norm: str | None = None
    value: Callable[[nn.Module], Tensor] = separate_value
    """W_V [kv heads · head, d] of a layer, rows of one KV head together."""

    residual_multiplier: float = 1.0
    logit_divisor: float = 1.0
    softcap: float | None = None
    packs: bool = True
    """Whether prompts can share a sequence exactly."""


DECODER = {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": NEURONS,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
"""Config of the Llama-shaped families."""
GROUPED = DECODER | {"num_key_value_heads": 2}
WINDOW = 6
"""Shorter than the prompts of the tests."""
MIXED = {
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}


def weight_of(path: str) -> Callable[[nn.Module], Tensor]:
    """W_V is a weight of its own."""
    return lambda layer: layer.get_submodule(path).weight


def rows_from(path: str, start: int) -> Callable[[nn.Module], Tensor]:
    """W_V is the last rows of a fused projection: all queries, all keys, all values."""
    return lambda layer: layer.get_submodule(path).weight[start:]


def last_of_each(path: str, groups: int) -> Callable[[nn.Module], Tensor]:
    """W_V is the last head of each group of heads in a fused projection."""

    def value(layer: nn.Module) -> Tensor:
        weight = layer.get_submodule(path).weight
        return weight.view(groups, -1, HEAD, WIDTH)[:, -1].reshape(-1, WIDTH)

    return value


GPT: Any = {
    "layers": "transformer.h",
    "final_norm": "transformer.ln_f",
    "attention_norm": "ln_1",
    "attention_out": "attn.c_proj",
    "ffn_norm": "ln_2",
    "ffn_in": ("mlp.c_fc",),
    "ffn_out": "mlp.c_proj",
}
MEGATRON: Any = {
    "layers": "transformer.h",
    "final_norm": "transformer.ln_f",
    "attention_out": "self_attention.dense",
    "ffn_in": ("mlp.dense_h_to_4h",),
    "ffn_out": "mlp.dense_4h_to_h",
}
NEOX: Any = MEGATRON | {
    "layers": "gpt_neox.layers",
    "final_norm": "gpt_neox.final_layer_norm",
    "attention_out": "attention.dense",
    "value": last_of_each("attention.query_key_value", HEADS),
}
PHI: Any = {
    "final_norm": "model.final_layernorm",
    "attention_out": "self_attn.dense",
    "ffn_norm": "input_layernorm",
    "ffn_in": ("mlp.fc1",),
    "ffn_out": "mlp.fc2",
}
GEMMA2: Any = {
    "attention_post_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_post_norm": "post_feedforward_layernorm",
}
FALCON = DECODER | {"ffn_hidden_size": NEURONS}
FUSED = "self_attention.query_key_value"

CASES = (
    TinyCase("llama", "llama", DECODER | {"attention_bias": True, "mlp_bias": True}, bos=True),
    TinyCase("llama grouped", "llama", GROUPED | {"head_dim": 12, "tie_word_embeddings": True}),
    TinyCase("mistral", "mistral", GROUPED | {"sliding_window": WINDOW, "head_dim": 12}, bos=True),
    TinyCase("qwen2", "qwen2", GROUPED),
    TinyCase("qwen2 sliding", "qwen2", DECODER | MIXED | {"use_sliding_window": True}),
    TinyCase("qwen3", "qwen3", GROUPED | {"head_dim": 12, "tie_word_embeddings": True}),
    TinyCase(
        "smollm3",
        "smollm3",
        GROUPED | MIXED | {"use_sliding_window": True, "no_rope_layers": [1, 0, 1]},
    ),
    TinyCase("stablelm", "stablelm", GROUPED | {"use_qkv_bias": True}),
    TinyCase(
        "stablelm parallel",
        "stablelm",
        GROUPED | {"use_parallel_residual": True, "qk_layernorm": True},
        ffn_norm="input_layernorm",
    ),
    TinyCase(
        "gemma",
        "gemma",
        DECODER | {"num_key_value_heads": 1, "head_dim": 12, "tie_word_embeddings": True},
        bos=True,
    ),
    TinyCase(
        "gemma2",
        "gemma2",
        GROUPED
        | MIXED
        | {
            "head_dim": 12,
            "query_pre_attn_scalar": 20,
            "attn_logit_softcapping": 3.0,
            "final_logit_softcapping": 5.0,
        },
        bos=True,
        softcap=5.0,
        **GEMMA2,
    ),
    TinyCase("gemma3", "gemma3_text", GROUPED | MIXED | {"head_dim": 12}, bos=True, **GEMMA2),
    TinyCase(
        "olmo2",
        "olmo2",
        GROUPED,
        attention_norm=None,
        attention_post_norm="post_attention_layernorm",
        ffn_norm=None,
        ffn_post_norm="post_feedforward_layernorm",
    ),
    TinyCase(
        "granite",
        "granite",
        GROUPED
        | {
            "residual_multiplier": 0.4,
            "embedding_multiplier": 3.0,
            "attention_multiplier": 0.2,
            "logits_scaling": 4.0,
            "attention_bias": True,
            "mlp_bias": True,
        },
        residual_multiplier=0.4,
        logit_divisor=4.0,
    ),
    TinyCase(
        "phi3",
        "phi3",
        GROUPED | {"sliding_window": WINDOW},
        ffn_in=("mlp.gate_up_proj",),
        value=rows_from("self_attn.qkv_proj", (HEADS + 2) * HEAD),
    ),
    TinyCase("phi", "phi", DECODER | {"partial_rotary_factor": 0.5}, **PHI),
    TinyCase("phi grouped", "phi", GROUPED | {"qk_layernorm": True}, **PHI),
    TinyCase(
        "gpt2",
        "gpt2",
        DECODER | {"n_inner": NEURONS, "scale_attn_by_inverse_layer_idx": True},
        value=lambda layer: layer.attn.c_attn.weight[:, 2 * WIDTH :].T,
        **GPT,
    ),
    TinyCase(
        "gpt neo",
        "gpt_neo",
        {
            "vocab_size": VOCABULARY,
            "hidden_size": WIDTH,
            "intermediate_size": NEURONS,
            "num_layers": LAYERS,
            "num_heads": HEADS,
            "attention_types": [[["global", "local", "local"], 1]],
            "window_size": 2 * WINDOW,
            "max_position_embeddings": 128,
        },
        value=weight_of("attn.attention.v_proj"),
        **GPT | {"attention_out": "attn.attention.out_proj"},
    ),
    TinyCase(
        "gptj",
        "gptj",
        DECODER | {"n_inner": NEURONS, "rotary_dim": 4},
        value=weight_of("attn.v_proj"),
        **GPT
        | {
            "attention_out": "attn.out_proj",
            "ffn_norm": "ln_1",
            "ffn_in": ("mlp.fc_in",),
            "ffn_out": "mlp.fc_out",
        },
    ),
    TinyCase("gpt neox", "gpt_neox", DECODER | {"rotary_pct": 0.25}, **NEOX),
    TinyCase("gpt neox sequential", "gpt_neox", DECODER | {"use_parallel_residual": False}, **NEOX),
    TinyCase(
        "opt",
        "opt",
        DECODER | {"ffn_dim": NEURONS, "word_embed_proj_dim": WIDTH, "tie_word_embeddings": True},
        bos=True,
        layers="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        attention_norm="self_attn_layer_norm",
        attention_out="self_attn.out_proj",
        ffn_norm="final_layer_norm",
        ffn_in=("fc1",),
        ffn_out="fc2",
    ),
    TinyCase("bloom", "bloom", DECODER, packs=False, value=last_of_each(FUSED, HEADS), **MEGATRON),
    TinyCase(
        "falcon",
        "falcon",
        FALCON | {"multi_query": True, "parallel_attn": True},
        value=last_of_each(FUSED, 1),
        **MEGATRON | {"ffn_norm": "input_layernorm"},
    ),
    TinyCase(
        "falcon new",
        "falcon",
        FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2},
        value=last_of_each(FUSED, 2),
        **MEGATRON | {"attention_norm": "ln_attn", "ffn_norm": "ln_mlp"},
    ),
    TinyCase(
        "falcon new, one norm",
        "falcon",
        FALCON
        | {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        value=last_of_each(FUSED, 2),
        **MEGATRON | {"ffn_norm": "input_layernorm"},
    ),
    TinyCase(
        "falcon alibi",
        "falcon",
        FALCON | {"multi_query": False, "parallel_attn": False, "alibi": True, "bias": True},
        packs=False,
        value=last_of_each(FUSED, HEADS),
        **MEGATRON,
    ),
)


def named(name: str) -> TinyCase:
    """A case by its name."""
    return next(case for case in CASES if case.name == name)


FEW = tuple(
    map(
        named,
        (
            "llama grouped",
            "qwen2 sliding",
            "gemma2",
            "olmo2",
            "granite",
            "gpt2",
            "gptj",
            "bloom",
            "falcon new",
        ),
    )
)
"""One of each build: grouped queries, windows, norms before, behind and around, multipliers,
transposed and fused matrices, blocks in parallel, and prompts that cannot share a sequence."""

few = pytest.mark.parametrize("case", FEW, ids=lambda case: case.name, indirect=True)
"""For what stands on numbers that other tests find exact in every family."""


def built(case: TinyCase) -> PreTrainedModel:
    """A model with random weights whose predictions are not flat.

    Norm weights, biases and every other vector are random too: a part that is left out, or
    counted twice, must show in the numbers.
    """
    config = AutoConfig.for_model(case.model_type, **case.config)
    hf = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(case.seed)
    with torch.no_grad():
        for parameter in hf.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.add_(noise, alpha=0.3)
            else:
                parameter.copy_(noise * case.gain / WIDTH**0.5)
        unembedding = hf.get_output_embeddings().weight
        unembedding.mul_(2.5 * case.logit_divisor / case.gain)
    hf.train(False)
    hf.requires_grad_(False)
    return hf


@cache
def opened(case: TinyCase) -> Model:
    """The case's model, opened for analysis and shared by all tests."""
    return open_model(built(case), tokenizer(case.bos), name=f"tiny {case.name}")
