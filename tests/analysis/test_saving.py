"""What transformers 4 finds in an export, by content.

tests/support/older_transformers.py has version 4 itself read the same models.
"""

from __future__ import annotations

import json

import pytest
import torch
from exports import BASE, CASES, SCALED, TOKENIZERS, base, exported
from safetensors.torch import load_file
from tiny import built, named, tokenizer
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from analysis.changes import Changes
from analysis.changing.saving import edited_weights, save_folder, stored_as
from analysis.errors import InputError
from analysis.model.loading import open_model

TEXT = "The sum of two and three is five, and 7 + 1 = 8."
LINEAR = {"rope_type": "linear", "factor": 4.0}
FACTORS = {name: SCALED["longrope"][name] for name in ("short_factor", "long_factor")}
OLDER = {
    "llama": {"rope_theta": 10_000.0},
    "llama yarn": {"rope_theta": BASE, "rope_scaling": {"rope_type": "yarn"} | SCALED["yarn"]},
    "llama longrope": {
        "rope_scaling": {"rope_type": "longrope"} | SCALED["longrope"],
        "original_max_position_embeddings": 32,
    },
    "qwen3 default": {"rope_theta": BASE, "rope_scaling": None},
    "gemma3 linear": {
        "rope_theta": BASE,
        "rope_local_base_freq": BASE / 10,
        "rope_scaling": LINEAR,
    },
    "stablelm default": {"rope_theta": BASE, "partial_rotary_factor": 0.75},
    "phi linear": {"partial_rotary_factor": 0.75, "rope_scaling": LINEAR},
    "gpt neox linear": {"rotary_emb_base": BASE, "rotary_pct": 0.75, "rope_scaling": LINEAR},
    "olmo2 linear": {"rope_theta": BASE, "rope_scaling": {"type": "linear", "factor": 4.0}},
    "phi3 longrope": {
        "partial_rotary_factor": 1.0,
        "rope_scaling": {"type": "longrope"} | FACTORS,
        "original_max_position_embeddings": 32,
    },
    "gpt2": {"rope_theta": None, "rope_scaling": None},
}
"""What transformers 4.57 reads of positions, by case; None: it is not there."""


def save(case, folder):
    hf = built(case)
    save_folder(hf, tokenizer(case.bos), hf.state_dict(), folder)
    return json.loads((folder / "config.json").read_text())


def positions(config):
    """What a config says of rotary positions, but for the older name of their kind."""
    rope = getattr(config, "rope_parameters", None) or {}
    return {name: value for name, value in rope.items() if name != "type"}


def test_positions_are_written_as_each_family_had_them(tmp_path):
    by_name = {case.name: case for case in CASES}
    for name, expected in OLDER.items():
        config = save(by_name[name], tmp_path / name)
        assert {key: config.get(key) for key in expected} == expected, name
        assert config["torch_dtype"] == config["dtype"] == "float32"


def test_either_spelling_alone_says_the_same(tmp_path):
    for case in CASES:
        config = save(case, tmp_path / "out")
        whole = AutoConfig.from_pretrained(tmp_path / "out")
        for spelling in ({"rope_parameters"}, {"rope_scaling", "rope_theta"}):
            alone = {name: value for name, value in config.items() if name not in spelling}
            (tmp_path / "out" / "config.json").write_text(json.dumps(alone))
            read = AutoConfig.from_pretrained(tmp_path / "out")
            assert positions(read) == positions(whole), case.name


@pytest.mark.parametrize("words", TOKENIZERS)
def test_a_tokenizer_has_a_class_that_takes_its_file_as_it_stands(words, tmp_path):
    source = base(named("llama"), tmp_path / "base", words)
    folder = exported(source, tmp_path / "out")
    described = json.loads((folder / "tokenizer_config.json").read_text())
    assert described["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert described["model_input_names"] == ["input_ids", "attention_mask"]
    assert not isinstance(described.get("extra_special_tokens"), list)
    before, after = (AutoTokenizer.from_pretrained(each) for each in (source, folder))
    assert before(TEXT).input_ids == after(TEXT).input_ids
    as_it_stands = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert before(TEXT).input_ids == as_it_stands.encode(TEXT).ids
    assert before.all_special_tokens == after.all_special_tokens
    assert before.chat_template == after.chat_template
    assert bool(described.get("add_prefix_space")) == (words == "prefix")
    assert described.get("additional_special_tokens") == (
        ["sea", "the"] if words == "chat" else None
    )


def test_a_generation_config_that_transformers_refuses_is_kept(tmp_path):
    hf = built(named("llama"))
    hf.generation_config.do_sample, hf.generation_config.temperature = False, 0.6
    with pytest.raises(ValueError, match="temperature"):
        hf.save_pretrained(tmp_path / "plain")
    save_folder(hf, tokenizer(False), hf.state_dict(), tmp_path / "out")
    kept = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (kept["do_sample"], kept["temperature"]) == (False, 0.6)
    assert hf.generation_config.temperature == 0.6


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_stored_weights_are_edited_first_and_rounded_once(dtype, tmp_path):
    hf = built(named("qwen3"))  # its unembedding is its embedding
    model = open_model(hf, tokenizer(False), name="tiny")
    state = stored_as(edited_weights(model, Changes.parse(["L1N4=0.3"])), dtype)
    save_folder(hf, model.tokenizer, state, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    plain = {name: each.clone() for name, each in hf.state_dict().items() if name in stored}
    plain["model.layers.1.mlp.down_proj.weight"][:, 4] *= 0.3
    assert "lm_head.weight" not in stored
    for name, each in plain.items():
        assert torch.equal(stored[name], each.to(dtype)), name
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["dtype"] == config["torch_dtype"] == str(dtype).removeprefix("torch.")


def test_numbers_too_large_for_a_dtype_are_refused():
    with pytest.raises(InputError, match="head holds numbers too large for float16"):
        stored_as({"head": torch.tensor([70_000.0])}, torch.float16)
