"""What is saved is the live variant: in every family, through transformers and the workbench."""

from __future__ import annotations

import pytest
import torch
from test_variants import edited
from tiny import built, few, named, tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer
from working import PROMPTS

from analysis.changes import Changes
from analysis.changing.saving import edited_weights, mark_as_floats, save_edited, size_of
from analysis.errors import InputError
from analysis.model.loading import load_model, open_model
from analysis.refs import HeadRef

EXACT = Changes.parse(["L0H1,L2H3", "L1N4", "L0N5=0.5", "L1H2=-2"])
"""Factors that rounding leaves alone."""
OTHER = Changes.parse(["L0H1=0.3", "L1N4=1.7"])


def logits(hf, ids):
    with torch.no_grad():
        return hf(input_ids=torch.tensor([ids]), use_cache=False).logits


@few
def test_a_saved_variant_has_the_logits_of_the_live_one(model, tmp_path):
    # Both are read from files: where a matrix lies in memory decides how BLAS adds up.
    save_edited(model, Changes(), tmp_path / "base")
    model = load_model(tmp_path / "base", device="cpu")
    before = {name: each.clone() for name, each in model.hf.state_dict().items()}
    save_edited(model, EXACT, tmp_path / "edited")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "edited")
    again = load_model(tmp_path / "edited", device="cpu")
    words = AutoTokenizer.from_pretrained(tmp_path / "edited")
    assert plain.dtype == torch.float32
    for prompt in PROMPTS.prompts:
        ids = model.encode(prompt).ids
        with model.changed(EXACT.interventions):
            live = logits(model.hf, ids)
        assert torch.equal(logits(plain, ids), live)
        assert torch.equal(logits(again.hf, again.encode(prompt).ids), live)
        assert words(prompt.prompt).input_ids == list(ids)
    after = model.hf.state_dict()
    assert all(torch.equal(after[name], each) for name, each in before.items())


def test_any_factor_is_that_of_weights_edited_by_hand(model, case):
    state = edited_weights(model, OTHER)
    by_hand = edited(model, case, OTHER).hf.state_dict()
    assert state.keys() == by_hand.keys()
    for name, each in by_hand.items():
        assert torch.allclose(state[name], each, rtol=1e-6, atol=0), name


def test_only_the_changed_columns_differ(llama):
    state, plain = edited_weights(llama, OTHER), llama.hf.state_dict()
    changed = {name for name, each in state.items() if not torch.equal(each, plain[name])}
    assert changed == {
        "model.layers.0.self_attn.o_proj.weight",
        "model.layers.1.mlp.down_proj.weight",
    }
    head = llama.parts.head_slice(1)
    heads = (
        state["model.layers.0.self_attn.o_proj.weight"]
        != plain["model.layers.0.self_attn.o_proj.weight"]
    )
    assert heads[:, head].all()
    assert heads.sum() == heads[:, head].numel()


def test_tied_weights_count_once(llama):
    state = edited_weights(llama, Changes())
    assert size_of(state) == 4 * sum(each.numel() for each in llama.hf.parameters())


def test_half_precision_rounds_once():
    hf = built(named("llama grouped")).to(torch.bfloat16)
    model = open_model(hf, tokenizer(False), name="half")
    change = Changes.parse(["L1N4=0.3"])
    found = edited_weights(model, change)["model.layers.1.mlp.down_proj.weight"][:, 4]
    plain = hf.model.layers[1].mlp.down_proj.weight[:, 4]
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (plain.float() * 0.3).bfloat16())


def test_a_model_that_transformers_takes_for_quantised_is_saved(tmp_path):
    hf = built(named("llama grouped"))
    hf.config.quantization_config = {"quant_method": "gguf"}
    hf.hf_quantizer = object()
    mark_as_floats(hf)
    hf.save_pretrained(tmp_path)
    assert "quantization_config" not in (tmp_path / "config.json").read_text()


def test_no_path_of_this_machine_is_in_what_is_saved(llama, tmp_path):
    save_edited(llama, Changes(), tmp_path / "first")
    again = load_model(tmp_path / "first", device="cpu")
    save_edited(again, EXACT, tmp_path / "second")
    for file in (tmp_path / "second").glob("*.json"):
        assert str(tmp_path) not in file.read_text(), file.name


def test_parts_that_are_not_there_are_refused(llama):
    with pytest.raises(InputError, match="L3H0 is not in"):
        edited_weights(llama, Changes.parse([str(HeadRef(3, 0))]))
