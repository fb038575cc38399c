"""Tiny models to export, beyond one a family: each way of scaling positions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiny import CASES as FAMILIES
from tiny import HEAD, TinyCase, built, named, tokenizer
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast

from analysis.changes import Changes
from analysis.changing.saving import save_edited
from analysis.model.loading import load_model

SCALED: dict[str, dict[str, Any]] = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 32},
    "llama3": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    },
    "longrope": {
        "short_factor": [1.0 + place / 4 for place in range(HEAD // 2)],
        "long_factor": [1.5 * 2**place for place in range(HEAD // 2)],
        "original_max_position_embeddings": 32,
    },
}
"""Parameters by kind, beside the base of the frequencies."""
BASE = 500.0
"""So small that another base shows within a few tokens."""


def scaled(case: TinyCase, kind: str) -> TinyCase:
    """A case with its positions scaled."""
    rope = {"rope_type": kind, "rope_theta": BASE} | SCALED.get(kind, {})
    config: dict[str, Any] = dict(case.config)
    config["rope_parameters"] = rope
    if case.model_type == "phi3" and kind == "longrope":
        config["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    if case.model_type == "gemma3_text":
        local = {"rope_type": "default", "rope_theta": BASE / 10}
        config["rope_parameters"] = {"full_attention": rope, "sliding_attention": local}
    if kind == "dynamic":
        config["max_position_embeddings"] = 32
    if case.model_type in ("gpt_neox", "phi", "stablelm"):
        rope["partial_rotary_factor"] = 0.75
    return replace(case, name=f"{case.name} {kind}", config=config)


CASES = (
    *FAMILIES,
    *(scaled(named("llama"), kind) for kind in SCALED),
    *(
        scaled(named(name), kind)
        for name, kind in (
            ("mistral", "yarn"),
            ("qwen2", "yarn"),
            ("qwen3", "default"),
            ("smollm3", "default"),
            ("stablelm", "default"),
            ("gemma", "default"),
            ("gemma2", "linear"),
            ("gemma3", "linear"),
            ("olmo2", "linear"),
            ("granite", "linear"),
            ("phi3", "longrope"),
            ("phi", "linear"),
            ("gpt neox", "linear"),
            ("falcon new", "linear"),
        )
    ),
)


TOKENIZERS = ("metaspace", "prefix", "chat")


def spelled(name: str) -> PreTrainedTokenizerFast:
    """A tokenizer with something that versions of transformers write or read differently."""
    words = tokenizer(name == "chat")
    if name == "metaspace":
        words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    if name == "prefix":
        words.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    if name == "chat":
        words.add_special_tokens({"additional_special_tokens": ["sea", "the"]})
        words.chat_template = "{% for each in messages %}sea{{ each.content }}the{% endfor %}"
    return words


def base(case: TinyCase, folder: Path, words: str | None = None) -> Path:
    """A case's model as transformers saves it, with one of `TOKENIZERS` or the case's own."""
    built(case).save_pretrained(folder)
    (spelled(words) if words else tokenizer(case.bos)).save_pretrained(folder)
    if words == "metaspace":  # as Llama's, whose class puts `<s>` in front unless told otherwise
        file = folder / "tokenizer_config.json"
        own = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False}
        file.write_text(json.dumps(json.loads(file.read_text()) | own))
    return folder


def exported(folder: Path, into: Path) -> Path:
    """A model folder, exported without a change."""
    save_edited(load_model(folder, device="cpu"), Changes(), into)
    return into
