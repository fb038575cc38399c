"""PEFT adapters: worn by a model, and compared with the model below, against merged weights."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from plainly import Plainly
from tiny import TinyCase, built, named, tokenizer
from working import PROMPTS, rows

from analysis.adapters import put_on, wearing
from analysis.errors import InputError
from analysis.loading import open_model
from analysis.model import Model
from analysis.prompts import Prompt
from analysis.steps import CnaStep, HeadsStep, NeuronsStep

PROMPT = Prompt(prompt="the sum of one and 3 is ")
TOLERANCE = 1e-5
ATTENTION = {
    "llama grouped": ("q_proj", "v_proj", "o_proj", "gate_proj"),
    "gemma2": ("k_proj", "v_proj", "up_proj"),
    "gpt2": ("c_attn",),
    "gpt neox": ("query_key_value", "dense_h_to_4h"),
}


def saved_adapter(case: TinyCase, folder: Path, *targets: str) -> Path:
    """A LoRA adapter with random weights on both sides."""
    wrapped = get_peft_model(built(case), LoraConfig(r=3, lora_alpha=6, target_modules=[*targets]))
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(params=ATTENTION)
def adapted(request, tmp_path):
    """A model, an adapter for it, and the same weights merged for real, the plain way."""
    case = named(request.param)
    adapter = saved_adapter(case, tmp_path / "lora", *ATTENTION[request.param])
    merged = put_on(built(case), adapter).merge_and_unload()
    model = open_model(built(case), tokenizer(case.bos), name="below")
    return model, adapter, Plainly(model.hf, case), Plainly(merged, case)


def test_a_model_that_wears_an_adapter_is_the_one_with_merged_weights(adapted):
    model, adapter, _, merged = adapted
    hf = copy.deepcopy(model.hf)
    put_on(hf, adapter)
    worn = open_model(hf, model.tokenizer, name="worn", adapter=adapter)
    assert worn.info.adapter == "lora"
    assert worn.info.parity_holds
    plain = open_model(merged.hf, model.tokenizer, name="merged")
    for step in (HeadsStep(prompts=PROMPTS), NeuronsStep(prompt=PROMPT, top=20)):
        both = rows(step, worn).join(rows(step, plain), on="name")
        assert len(both) > 0
        assert (both[step.ranked_by] - both[f"{step.ranked_by}_right"]).abs().max() < TOLERANCE


def test_cna_compares_the_adapted_model_with_the_one_below(adapted):
    model, adapter, below, merged = adapted
    ids = model.encode(PROMPT).ids
    token, frozen = merged.greedy(ids, 1)[0], merged.run(ids).leaving[-1]
    table = rows(CnaStep(prompt=PROMPT, adapter=adapter, top=None), model)
    first = merged.importance(ids, token, frozen)
    second = below.importance(ids, token, frozen)
    assert (first - second).abs().max() > 100 * TOLERANCE
    for row in table.to_dicts():
        place = row["layer"], row["neuron"]
        assert row["importance"] == pytest.approx(first[place].item(), abs=TOLERANCE)
        assert row["importance_contrast"] == pytest.approx(second[place].item(), abs=TOLERANCE)


def test_the_model_is_as_before_once_the_adapter_is_off_even_after_an_error(adapted):
    model, adapter, *_ = adapted
    before = {name: value.clone() for name, value in model.hf.state_dict().items()}
    parts = model.parts
    with pytest.raises(RuntimeError, match="half way"), wearing(model, adapter):
        assert model.parts is not parts
        raise RuntimeError("half way")
    after = model.hf.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert model.parts is parts


@pytest.fixture
def llama_below() -> Model:
    return open_model(built(named("llama grouped")), tokenizer(False), name="llama")


@pytest.mark.parametrize("target", ["down_proj", "lm_head"])
def test_cna_refuses_an_adapter_that_changes_what_neurons_are(llama_below, tmp_path, target):
    adapter = saved_adapter(named("llama grouped"), tmp_path / "lora", target)
    with pytest.raises(InputError, match="changes down projections or the unembedding"):
        CnaStep(prompt=PROMPT, adapter=adapter).start(llama_below)
    assert not any("lora" in name for name, _ in llama_below.hf.named_modules())


def test_folders_that_hold_no_adapter_in_a_safe_format_are_refused(llama_below, tmp_path):
    with pytest.raises(InputError, match="is not an adapter folder"):
        CnaStep(prompt=PROMPT, adapter=tmp_path).start(llama_below)
    adapter = saved_adapter(named("llama grouped"), tmp_path / "lora", "v_proj")
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(InputError, match="pickled adapters are not opened"):
        CnaStep(prompt=PROMPT, adapter=adapter).start(llama_below)


def test_an_adapter_of_another_model_is_refused(llama_below, tmp_path):
    adapter = saved_adapter(named("gpt2"), tmp_path / "lora", "c_attn")
    with pytest.raises(InputError, match="the adapter lora does not fit LlamaForCausalLM"):
        CnaStep(prompt=PROMPT, adapter=adapter).start(llama_below)
