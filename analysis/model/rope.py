"""Rotary positions that depend on how long the sequence is: LongRoPE and dynamic NTK.

Such a model reads "one two three" differently alone and inside a longer sequence, so each prompt
must get the frequencies of its own length, whatever was run before it or beside it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn

NO_LIMIT = 1_000_000
"""The context of a model that sets no length."""


def frequencies_of(config: Any, length: int) -> tuple[int, ...]:
    """Equal for two lengths exactly where sequences of these lengths share their frequencies.

    Args:
        config: the text model's config.
        length: tokens of a sequence that starts at position 0.
    """
    trained = config.max_position_embeddings
    kept = []
    for rope in _length_dependent(config):
        if rope["rope_type"] == "longrope":
            kept.append(int(length > rope["original_max_position_embeddings"]))
        else:  # dynamic: others for each length above the trained one
            kept.append(max(length, trained))
    return tuple(kept)


def depends_on_length(config: Any) -> bool:
    """Whether a token more in the sequence may change what the others read."""
    return bool(_length_dependent(config))


def context_of(config: Any) -> int:
    """Longest sequence in tokens, position scaling included.

    Dynamic scaling sets no end: its frequencies follow the length. YaRN is often switched on
    beside a config that names the trained length only; that times the factor is meant.
    """
    stated = int(getattr(config, "max_position_embeddings", 0) or NO_LIMIT)
    reach = [stated]
    for rope in _ropes(config):
        if rope["rope_type"] == "dynamic":
            return NO_LIMIT
        if rope["rope_type"] == "yarn":
            trained = rope.get("original_max_position_embeddings") or stated
            reach.append(int(trained * (rope.get("factor") or 1.0)))
    return max(reach)


def forget_lengths(hf: nn.Module) -> None:
    """Make a model's dynamic frequencies those of the sequence at hand, for good.

    transformers keeps those of the longest sequence so far.
    """
    for module in hf.modules():
        kinds = getattr(module, "rope_type", None)
        if kinds is not None and hasattr(module, "max_seq_len_cached"):
            kinds = kinds if isinstance(kinds, dict) else {"": kinds}
            layers = [layer for layer, kind in kinds.items() if kind == "dynamic"]
            if layers:
                module.register_forward_pre_hook(partial(_reset, layers))


def _reset(layers: list[str], rotary: nn.Module, args: object) -> None:
    for layer in layers:
        name = f"{layer}_" if layer else ""
        setattr(rotary, f"{name}max_seq_len_cached", rotary.original_max_seq_len)
        setattr(rotary, f"{name}inv_freq", getattr(rotary, f"{name}original_inv_freq"))


def _length_dependent(config: Any) -> list[dict[str, Any]]:
    return [rope for rope in _ropes(config) if rope["rope_type"] in ("longrope", "dynamic")]


def _ropes(config: Any) -> list[dict[str, Any]]:
    """The model's rotary settings: one, or one for each kind of layer."""
    given = getattr(config, "rope_parameters", None) or {}
    each = [given] if "rope_type" in given else given.values()
    return [rope for rope in each if isinstance(rope, dict) and "rope_type" in rope]
