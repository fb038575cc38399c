"""Where each model family keeps its parts: the one table everything else is derived from.

Paths are attribute paths; where variants differ, `a|b` is the first that leads to a module. Those
of a layer are relative to the layer, the rest to the model. What a family does not have is None.
To add a family, add a row here and a case to `tests/analysis/tiny.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.errors import InputError


@dataclass(frozen=True, slots=True)
class Family:
    """Module paths of one family, defaulting to the Llama layout."""

    name: str
    model_types: tuple[str, ...]
    """Values of `config.model_type` this row serves."""

    layers: str = "model.layers"
    final_norm: str = "model.norm"
    unembedding: str = "lm_head"
    embedding: str = "model.embed_tokens"

    attention: str = "self_attn"
    attention_norm: str | None = "input_layernorm"
    attention_out: str = "self_attn.o_proj"
    """Its input is the outputs of the query heads side by side."""
    attention_post_norm: str | None = None
    attention_in: tuple[str, ...] = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
    """Projections to queries, keys and values, or one fused projection; `a b`: b behind a."""
    head_norms: tuple[str, str] | None = None
    """Norms of each head's query and of its key, where a model of the family has them."""
    fused_by_group: bool = False
    """Of a fused projection: the queries, key and value of a key/value head stand together; else
    all queries stand before all keys before all values."""

    ffn_norm: str | None = "post_attention_layernorm"
    ffn_gate: str | None = "mlp.gate_proj"
    """None: a plain FFN."""
    ffn_up: str | None = "mlp.up_proj"
    ffn_gate_up: str | None = None
    """A fused projection, gate rows first, instead of the two above."""
    ffn_out: str = "mlp.down_proj"
    """Its input is the neurons' coefficients."""
    ffn_post_norm: str | None = None

    residual_multiplier: str | None = None
    """Config attribute that scales what attention and FFN add to the residual."""
    logit_divisor: str | None = None
    """Config attribute the logits are divided by."""
    logit_softcap: str | None = None
    """Config attribute c of a soft cap c·tanh(logits / c)."""

    window_by_place: str | None = None
    """Config attribute of a window that layers apply by place in the sequence, whatever the mask
    says; prompts share sequences no longer than it."""
    must_be_set: tuple[str, ...] = ()
    """Config flags without which the layout is another one."""
    must_not_be_set: tuple[str, ...] = ()
    """Config flags with which the layout is another one."""


_PLAIN_FFN: Any = {"ffn_gate": None}
_GPT2: Any = {
    "layers": "transformer.h",
    "final_norm": "transformer.ln_f",
    "embedding": "transformer.wte",
    "attention": "attn",
    "attention_norm": "ln_1",
    "attention_out": "attn.c_proj",
    "attention_in": ("attn.c_attn",),
    "ffn_norm": "ln_2",
    "ffn_up": "mlp.c_fc",
    "ffn_out": "mlp.c_proj",
} | _PLAIN_FFN
_BLOOM: Any = {
    "layers": "transformer.h",
    "final_norm": "transformer.ln_f",
    "embedding": "transformer.word_embeddings",
    "attention": "self_attention",
    "attention_out": "self_attention.dense",
    "attention_in": ("self_attention.query_key_value",),
    "fused_by_group": True,
    "ffn_up": "mlp.dense_h_to_4h",
    "ffn_out": "mlp.dense_4h_to_h",
} | _PLAIN_FFN

FAMILIES: tuple[Family, ...] = (
    Family("Llama", ("llama",)),
    Family("Mistral", ("mistral",)),
    Family("Qwen2", ("qwen2",)),
    Family("Qwen3", ("qwen3",), head_norms=("self_attn.q_norm", "self_attn.k_norm")),
    Family("SmolLM3", ("smollm3",)),
    Family(
        "StableLM",
        ("stablelm",),
        head_norms=("self_attn.q_layernorm", "self_attn.k_layernorm"),
        ffn_norm="post_attention_layernorm|input_layernorm",
    ),
    Family("Gemma", ("gemma",)),
    Family(
        "Gemma 2 and 3",
        ("gemma2", "gemma3_text"),
        head_norms=("self_attn.q_norm", "self_attn.k_norm"),
        attention_post_norm="post_attention_layernorm",
        ffn_norm="pre_feedforward_layernorm",
        ffn_post_norm="post_feedforward_layernorm",
        logit_softcap="final_logit_softcapping",
        must_not_be_set=("use_bidirectional_attention",),
    ),
    Family(
        "OLMo 2",
        ("olmo2",),
        attention_norm=None,
        attention_post_norm="post_attention_layernorm",
        attention_in=(
            "self_attn.q_proj self_attn.q_norm",
            "self_attn.k_proj self_attn.k_norm",
            "self_attn.v_proj",
        ),
        ffn_norm=None,
        ffn_post_norm="post_feedforward_layernorm",
    ),
    Family(
        "Granite",
        ("granite",),
        residual_multiplier="residual_multiplier",
        logit_divisor="logits_scaling",
    ),
    Family(
        "Phi-3",
        ("phi3",),
        attention_in=("self_attn.qkv_proj",),
        ffn_up=None,
        ffn_gate_up="mlp.gate_up_proj",
        **_PLAIN_FFN,
    ),
    Family(
        "Phi",
        ("phi",),
        head_norms=("self_attn.q_layernorm", "self_attn.k_layernorm"),
        final_norm="model.final_layernorm",
        attention_out="self_attn.dense",
        ffn_norm="input_layernorm",
        ffn_up="mlp.fc1",
        ffn_out="mlp.fc2",
        **_PLAIN_FFN,
    ),
    Family("GPT-2", ("gpt2",), must_not_be_set=("add_cross_attention",), **_GPT2),
    Family(
        "GPT-Neo",
        ("gpt_neo",),
        window_by_place="window_size",
        **_GPT2
        | {
            "attention": "attn.attention",
            "attention_out": "attn.attention.out_proj",
            "attention_in": (
                "attn.attention.q_proj",
                "attn.attention.k_proj",
                "attn.attention.v_proj",
            ),
        },
    ),
    Family(
        "GPT-J",
        ("gptj",),
        **_GPT2
        | {
            "attention_out": "attn.out_proj",
            "attention_in": ("attn.q_proj", "attn.k_proj", "attn.v_proj"),
            "ffn_norm": "ln_1",
            "ffn_up": "mlp.fc_in",
            "ffn_out": "mlp.fc_out",
        },
    ),
    Family(
        "GPT-NeoX",
        ("gpt_neox",),
        **_BLOOM
        | {
            "layers": "gpt_neox.layers",
            "final_norm": "gpt_neox.final_layer_norm",
            "embedding": "gpt_neox.embed_in",
            "attention": "attention",
            "attention_out": "attention.dense",
            "attention_in": ("attention.query_key_value",),
            "unembedding": "lm_head|embed_out",
        },
    ),
    Family(
        "BLOOM",
        ("bloom",),
        must_not_be_set=("apply_residual_connection_post_layernorm", "slow_but_exact"),
        **_BLOOM,
    ),
    Family(
        "Falcon",
        ("falcon",),
        **_BLOOM
        | {
            "attention_norm": "ln_attn|input_layernorm",
            "ffn_norm": "ln_mlp|post_attention_layernorm|input_layernorm",
        },
    ),
    Family(
        "OPT",
        ("opt",),
        layers="model.decoder.layers",
        final_norm="model.decoder.final_layer_norm",
        embedding="model.decoder.embed_tokens",
        attention_norm="self_attn_layer_norm",
        attention_out="self_attn.out_proj",
        ffn_norm="final_layer_norm",
        ffn_up="fc1",
        ffn_out="fc2",
        must_be_set=("do_layer_norm_before",),
        must_not_be_set=("_remove_final_layer_norm",),
        **_PLAIN_FFN,
    ),
)
"""Every supported family."""


def family_of(model_type: str) -> Family:
    """The row that serves a `config.model_type`.

    Raises:
        InputError: no row does.
    """
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    supported = ", ".join(sorted((family.name for family in FAMILIES), key=str.lower))
    raise InputError(
        f"model type {model_type!r} is not supported; supported are the decoder-only, dense "
        f"families {supported}"
    )
