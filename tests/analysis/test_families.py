"""What the family table finds in each model, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import dispatch_model
from plainly import part
from tiny import CASES, DECODER, GROUPED, MIXED, TinyCase, built, named, opened, tokenizer
from working import PROMPTS, rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.importance import Geometry
from analysis.model.families import FAMILIES, Family, family_of
from analysis.model.loading import open_model
from analysis.model.packing import Pack
from analysis.model.parity import packs_exactly
from analysis.model.parts import Norm, Parts
from analysis.model.passes import with_answers
from analysis.steps import CnaStep, HeadsStep, ProjectStep
from sessions.compare import compare


def test_every_model_type_of_the_table_has_a_tiny_model():
    listed = {name for family in FAMILIES for name in family.model_types}
    assert {case.model_type for case in CASES} == listed


def test_no_model_type_is_listed_twice():
    listed = [name for family in FAMILIES for name in family.model_types]
    assert len(set(listed)) == len(listed)


def test_parity_holds(model):
    parity = model.info.parity
    assert parity.logits < 1e-5
    assert parity.residual < 1e-6
    assert parity.neurons < 1e-6
    assert model.info.parity_holds


def test_the_shape_is_the_model_s_own(model, case, plainly):
    info = model.info
    assert info.layers == len(plainly.layers) == 3
    assert info.heads == 4
    assert info.kv_heads * model.parts.head_width == case.value(plainly.layers[0]).shape[0]
    assert info.neurons == plainly.ffn_out(0).weight.numel() // info.width
    assert info.vocabulary == 128


def test_prompts_share_sequences_wherever_that_is_exact(model, case):
    assert model.info.packed == case.packs
    packs = list(model.packs(with_answers(model, PROMPTS.prompts)))
    shared = any(len(packed.prompts) > 1 and not packed.is_chain for packed in packs)
    assert shared == case.packs


def test_a_mask_without_the_window_is_found_out(monkeypatch):
    """The check on loading sees it, and each prompt runs by itself."""
    sliding = named("mistral")
    hf = built(sliding)
    model = open_model(hf, tokenizer(sliding.bos), name="mistral")
    plain = Pack.mask
    monkeypatch.setattr(Pack, "mask", lambda self, dtype, window=None: plain(self, dtype))
    assert not packs_exactly(model, tuple(range(3, 30)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_norms_of_a_model_in_low_precision_are_read_exactly(case, dtype):
    hf = built(case).to(dtype)
    found = Norm.read(part(hf, case.final_norm), 32)
    wide = part(built(case), case.final_norm).to(dtype).float()
    for size in (0.01, 1.0, 100.0):
        x = torch.randn(5, 32, generator=torch.Generator().manual_seed(2)) * size + size
        assert (found.of(x) - wide(x)).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_low_precision_keeps_parity_within_its_rounding(case, dtype):
    model = open_model(built(case).to(dtype), tokenizer(case.bos), name=case.name)
    assert model.info.dtype == str(dtype).removeprefix("torch.")
    assert model.info.parity_holds
    assert model.info.packed == case.packs


@pytest.mark.parametrize(
    "model_type", ["mixtral", "qwen3_moe", "gpt_oss", "t5", "bart", "mamba", "rwkv", "bert"]
)
def test_other_architectures_are_refused_with_what_is_supported(model_type):
    with pytest.raises(InputError) as caught:
        family_of(model_type)
    message = str(caught.value)
    assert message.startswith(f"model type '{model_type}' is not supported; supported are")
    assert "decoder-only" in message
    for name in ("BLOOM", "Falcon", "Gemma", "GPT-2", "GPT-NeoX", "Llama", "OPT", "Qwen3"):
        assert name in message
    assert "\n" not in message


OPT = named("opt").config


@pytest.mark.parametrize(
    ("model_type", "config", "message"),
    [
        ("opt", {**OPT, "do_layer_norm_before": False}, "do_layer_norm_before=False"),
        ("opt", {**OPT, "_remove_final_layer_norm": True}, "_remove_final_layer_norm=True"),
        ("opt", {**OPT, "word_embed_proj_dim": 16}, "projects its residual stream of 32 to 16"),
        (
            "bloom",
            {**DECODER, "apply_residual_connection_post_layernorm": True},
            "apply_residual_connection_post_layernorm=True",
        ),
        ("bloom", {**DECODER, "slow_but_exact": True}, "slow_but_exact=True"),
        ("gpt2", {**DECODER, "add_cross_attention": True}, "add_cross_attention=True"),
        (
            "gemma3_text",
            {**GROUPED, **MIXED, "head_dim": 8, "use_bidirectional_attention": True},
            "use_bidirectional_attention=True",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_variants_with_another_layout_are_refused(model_type, config, message):
    hf = built(TinyCase("variant", model_type, config))
    with pytest.raises(InputError, match=message):
        open_model(hf, tokenizer(False), name="variant")


def test_a_layout_that_is_not_there_is_refused_with_the_paths_looked_for():
    hf = opened(named("llama")).hf
    elsewhere = Family("Elsewhere", ("elsewhere",), attention_out="self_attn.dense|self_attn.out")
    with pytest.raises(InputError) as caught:
        Parts.find(hf, elsewhere)
    message = str(caught.value)
    assert "LlamaForCausalLM does not have the layout of the Elsewhere family" in message
    assert "has no self_attn.dense or self_attn.out" in message
    assert "looked for model.layers, self_attn.dense|self_attn.out, mlp.down_proj" in message


def test_a_model_spread_by_accelerate_gives_the_same_numbers(llama):
    """Its hooks move what enters every module; here all modules share one device."""
    hf = dispatch_model(built(named("llama grouped")), {"": "cpu"}, force_hooks=True)
    spread = open_model(hf, tokenizer(False), name="spread")
    assert any(hasattr(module, "_hf_hook") for module in hf.modules())
    prompt = PROMPTS.prompts[0]
    for step in (
        HeadsStep(prompts=PROMPTS),
        CnaStep(prompt=prompt, ablate=Intervention.parse("L0H1"), top=20),
        ProjectStep(source="L1N3", prompt=prompt, through=2, top=5),
    ):
        found, plain = rows(step, spread), rows(step, llama)
        assert compare(step, plain, found).holds(1e-5)


def test_opening_a_model_changes_nothing_in_it():
    case = replace(named("gpt2"), name="untouched")
    hf = built(case)
    before = {name: value.clone() for name, value in hf.state_dict().items()}
    model = open_model(hf, tokenizer(False), name="untouched")
    assert model.once(Geometry.of).spread.shape == (3, 24)
    after = hf.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    for _, module in hf.named_modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
