"""What a GGUF file says about its model and transformers leaves at its defaults.

The rules for what a file need not say are those of llama.cpp, which such files are written for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from analysis.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

ADDS_BOS = frozenset(
    {
        "llama3",
        "llama-v3",
        "llama-bpe",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
        "tekken",
        "chameleon",
    }
)
"""Values of `tokenizer.ggml.pre` whose byte-level vocabularies begin every text with BOS unless the
file says otherwise (llama.cpp, `src/llama-vocab.cpp`)."""

Field = Callable[[str], Any]
"""A value of the file by its key; None where it has none."""


def adds_bos(value: Field) -> bool | None:
    """Whether a text begins with BOS; None: transformers knows by itself."""
    said = value("tokenizer.ggml.add_bos_token")
    if said is not None or value("tokenizer.ggml.model") != "gpt2":
        return None if said is None else bool(said)
    return value("tokenizer.ggml.pre") in ADDS_BOS and (
        value("tokenizer.ggml.bos_token_id") is not None
    )


def config_of(found: dict[str, Any], value: Field, tensors: Collection[str]) -> dict[str, Any]:
    """The config of a file, where transformers' reader has found only part of it.

    Args:
        found: what transformers read.
        value: the file's own values.
        tensors: names of the file's tensors.
    """
    architecture = value("general.architecture")

    def own(key: str, default: Any = None) -> Any:
        said = value(f"{architecture}.{key}")
        return default if said is None else said

    if found["model_type"] == "mistral":  # a llama by another name, that cannot be read by it
        found["model_type"] = "llama"
    found["tie_word_embeddings"] = "output.weight" not in tensors
    for token, key in (("bos", "bos"), ("eos", "eos"), ("pad", "padding")):
        found[f"{token}_token_id"] = value(f"tokenizer.ggml.{key}_token_id")
    if more := _MORE.get(architecture):
        found |= more(own, tensors)
    return found


def regroup(hf: nn.Module, value: Field) -> None:
    """Put Falcon's queries, keys and values, one after another in the file, in groups again."""
    import torch

    heads, groups = (value(f"falcon.attention.head_count{kind}") for kind in ("", "_kv"))
    if value("general.architecture") != "falcon" or groups in (None, 1):
        return

    def grouped(stored: Tensor) -> Tensor:
        size = len(stored) // (heads + 2 * groups)
        parts = stored.split([heads * size, groups * size, groups * size])
        each = [part.reshape(groups, -1, *stored.shape[1:]) for part in parts]
        return torch.cat(each, 1).reshape(stored.shape)

    with torch.no_grad():
        for name, parameter in hf.named_parameters():
            if ".query_key_value." in name:
                parameter.copy_(grouped(parameter))


Own = Callable[..., Any]


def _head(own: Own) -> int:
    return int(own("attention.key_length", own("embedding_length") // own("attention.head_count")))


def _rope(own: Own, partly: bool = False) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": own("rope.freq_base", 10_000.0)}
    if partly:
        rope["partial_rotary_factor"] = own("rope.dimension_count", _head(own)) / _head(own)
    return {"rope_parameters": rope}


def _llama(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {"head_dim": _head(own)} | _rope(own)


def _phi3(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    window = own("attention.sliding_window") or None
    return {"sliding_window": window} | _rope(own, partly=True)


def _stablelm(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    if any(name.endswith("attn_q_norm.weight") for name in tensors):
        raise InputError("transformers does not read StableLM with norms of queries and keys")
    return _rope(own, partly=True)


def _gpt2(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {"n_positions": own("context_length"), "n_inner": own("feed_forward_length")}


def _falcon(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    heads, groups = own("attention.head_count"), own("attention.head_count_kv", 1)
    two_norms = any("attn_norm_2" in name for name in tensors)
    new = two_norms or groups not in (1, heads)
    return {
        "new_decoder_architecture": new,
        "num_ln_in_parallel_attn": (2 if two_norms else 1) if new else None,
        "num_kv_heads": groups,
        "multi_query": groups == 1,
        "parallel_attn": True,
        "bias": any("attn_qkv.bias" in name for name in tensors),
        "ffn_hidden_size": own("feed_forward_length"),
        "layer_norm_epsilon": own("attention.layer_norm_epsilon", 1e-5),
    } | _rope(own)


def _gemma2(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    return {
        "head_dim": _head(own),
        "query_pre_attn_scalar": _scale(own, largest=46),
        "attn_logit_softcapping": own("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": own("final_logit_softcapping", 30.0),
    } | _rope(own)


def _gemma3(own: Own, tensors: Collection[str]) -> dict[str, Any]:
    near = {"rope_type": "default", "rope_theta": own("rope.freq_base_swa", 10_000.0)}
    far = {"rope_type": "default", "rope_theta": own("rope.freq_base", 1_000_000.0)}
    return {
        "head_dim": _head(own),
        "query_pre_attn_scalar": _scale(own, largest=62),
        "final_logit_softcapping": own("final_logit_softcapping"),
        "rope_parameters": {"full_attention": far, "sliding_attention": near},
    }


def _scale(own: Own, largest: int) -> int:
    """Attention is scaled by the head's width; in the 27B models, known by their layers, not."""
    if own("block_count") == largest:
        return int(own("embedding_length") // own("attention.head_count"))
    return _head(own)


_MORE: dict[str, Callable[[Own, Collection[str]], dict[str, Any]]] = {
    "llama": _llama,
    "qwen2": lambda own, tensors: _rope(own),
    "qwen3": _llama,
    "phi3": _phi3,
    "stablelm": _stablelm,
    "gpt2": _gpt2,
    "falcon": _falcon,
    "gemma2": _gemma2,
    "gemma3": _gemma3,
}
