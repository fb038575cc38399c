"""Every kind of PEFT adapter: worn, compared, exported and taken off as plain PEFT does it."""

from __future__ import annotations

import re
import shutil
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    AdaLoraConfig,
    BOFTConfig,
    FourierFTConfig,
    HRAConfig,
    IA3Config,
    LNTuningConfig,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    VBLoRAConfig,
    VeraConfig,
    get_peft_model,
)
from plainly import Plainly
from safetensors.torch import load_file, save_file
from tiny import TinyCase, built, named, tokenizer
from transformers import AutoModelForCausalLM
from working import PROMPTS, rows

from analysis.changes import Changes
from analysis.changing.saving import save_edited
from analysis.errors import InputError
from analysis.model.adapters import put_on, require_parity, wearing
from analysis.model.info import PARITY_LIMITS
from analysis.model.loading import load_model, open_model
from analysis.model.model import Model
from analysis.refs import HeadRef
from analysis.steps import AttendStep, CnaStep, HeadsStep, NeuronsStep
from analysis.tasks.prompts import Prompt, PromptSet

PROMPT = Prompt(prompt="the sum of one and 3 is ")
TOLERANCE = 2e-5
CAUSAL: Any = {"task_type": "CAUSAL_LM"}
UNTIED, TIED, GPT2, GEMMA = (named(n) for n in ("llama", "llama grouped", "gpt2", "gemma2"))
"""The first has biases on all its projections, the second on none."""
TOKENS = [5, 8, 100]


def lora(*targets: str, **more: Any) -> LoraConfig:
    return LoraConfig(r=3, lora_alpha=6, target_modules=list(targets), **more, **CAUSAL)


KINDS: dict[str, tuple[TinyCase, PeftConfig]] = {
    "LoRA": (TIED, lora("q_proj", "v_proj", "o_proj", "gate_proj")),
    "LoRA on a fused projection": (GPT2, lora("c_attn")),
    "LoRA on everything": (UNTIED, LoraConfig(r=3, target_modules="all-linear", **CAUSAL)),
    "LoRA on down projections": (GPT2, lora("mlp.c_proj")),
    "LoRA on a tied unembedding": (TIED, lora("lm_head", "q_proj")),
    "LoRA on tied embeddings": (TIED, lora("embed_tokens", "q_proj")),
    "LoRA on both tied ends": (TIED, lora("embed_tokens", ensure_weight_tying=True)),
    "rsLoRA with patterns": (
        TIED,
        LoraConfig(
            r=4,
            target_modules=r".*layers\.[12]\.self_attn\.(q|v)_proj",
            use_rslora=True,
            rank_pattern={"layers.1.self_attn.q_proj": 2},
            alpha_pattern={"v_proj": 32},
            **CAUSAL,
        ),
    ),
    "PiSSA": (TIED, lora("q_proj", "down_proj", init_lora_weights="pissa")),
    "OLoRA": (TIED, lora("q_proj", "down_proj", init_lora_weights="olora")),
    "all biases": (UNTIED, lora("q_proj", "v_proj", bias="all")),
    "LoRA's biases": (UNTIED, lora("q_proj", "down_proj", bias="lora_only")),
    "a bias of LoRA": (UNTIED, lora("down_proj", lora_bias=True)),
    "DoRA": (UNTIED, lora("q_proj", "down_proj", "lm_head", use_dora=True)),
    "a saved unembedding": (UNTIED, lora("q_proj", modules_to_save=["lm_head"])),
    "saved tied embeddings": (TIED, lora("q_proj", modules_to_save=["embed_tokens"])),
    "saved norms": (GEMMA, lora("q_proj", modules_to_save=["post_feedforward_layernorm", "norm"])),
    "a saved FFN": (TIED, lora("q_proj", modules_to_save=["mlp"])),
    "tokens": (UNTIED, lora("q_proj", trainable_token_indices=TOKENS)),
    "tokens of tied embeddings": (TIED, lora("q_proj", trainable_token_indices=TOKENS)),
    "IA3": (
        TIED,
        IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
    ),
    "OFT": (TIED, OFTConfig(r=0, oft_block_size=8, target_modules=["q_proj", "down_proj"])),
    "BOFT": (TIED, BOFTConfig(boft_block_size=8, target_modules=["down_proj"])),
    "HRA": (TIED, HRAConfig(r=4, target_modules=["down_proj"])),
    "LoHa": (TIED, LoHaConfig(r=3, target_modules=["down_proj"])),
    "LoKr": (TIED, LoKrConfig(r=3, target_modules=["down_proj"])),
    "VeRA": (TIED, VeraConfig(r=3, target_modules=["down_proj"])),
    "VeRA without its projections": (
        TIED,
        VeraConfig(r=3, target_modules=["down_proj"], save_projection=False),
    ),
    "VB-LoRA": (
        TIED,
        VBLoRAConfig(r=3, vector_length=8, num_vectors=20, target_modules=["down_proj"]),
    ),
    "FourierFT": (TIED, FourierFTConfig(n_frequency=20, target_modules=["down_proj"])),
    "AdaLoRA": (TIED, AdaLoraConfig(init_r=3, target_modules=["q_proj"], total_step=10, **CAUSAL)),
    "norms": (TIED, LNTuningConfig(target_modules=["input_layernorm", "norm"])),
}


def saved(case: TinyCase, config: PeftConfig, folder: Path, scale: float = 0.3) -> Path:
    """An adapter as if it had been trained: every weight of it moved at random."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.random.fork_rng():
            torch.manual_seed(4)
            wrapped = get_peft_model(built(case), config)
            with torch.no_grad():
                for each in wrapped.parameters():
                    if each.requires_grad:
                        each.add_(torch.randn_like(each), alpha=scale)
            wrapped.save_pretrained(folder)
    return folder


@torch.no_grad()
def logits(hf: Any, ids: tuple[int, ...]) -> torch.Tensor:
    found: torch.Tensor = hf(input_ids=torch.tensor([[*ids, *TOKENS]])).logits
    return found


@dataclass
class Kind:
    """An adapter, the model below, and what plain PEFT computes for the two."""

    case: TinyCase
    folder: Path
    model: Model
    ids: tuple[int, ...]
    right: torch.Tensor

    def wears(self, hf: Any) -> None:
        assert (logits(hf, self.ids) - self.right).abs().max() < TOLERANCE * 10

    @cached_property
    def worn(self) -> Model:
        hf = built(self.case)
        put_on(hf, self.folder)
        return open_model(hf, self.model.tokenizer, name="worn", adapter=self.folder)


@pytest.fixture(scope="module", params=KINDS)
def kind(request, tmp_path_factory) -> Kind:
    case, config = KINDS[request.param]
    folder = saved(case, config, tmp_path_factory.mktemp("adapters") / "adapter")
    model = open_model(built(case), tokenizer(case.bos), name="below")
    ids = model.encode(PROMPT).ids
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right = logits(PeftModel.from_pretrained(built(case), str(folder)), ids)
    assert (right - logits(model.hf, ids)).abs().max() > 1e-2
    return Kind(case, folder, model, ids, right)


def test_it_is_worn_and_exported_as_plain_peft_computes_it(kind, tmp_path):
    worn = kind.worn
    kind.wears(worn.hf)
    assert worn.info.parity_holds
    assert worn.info.adapter == "adapter"
    save_edited(worn, Changes(), tmp_path)
    kind.wears(AutoModelForCausalLM.from_pretrained(tmp_path))


def test_a_bias_that_the_model_has_no_place_for_is_worn_but_not_exported(below, tmp_path):
    folder = saved(TIED, lora("down_proj", lora_bias=True), tmp_path / "lora")
    hf = built(TIED)
    put_on(hf, folder)
    worn = open_model(hf, below.tokenizer, name="worn", adapter=folder)
    ids = below.encode(PROMPT).ids
    plain = PeftModel.from_pretrained(built(TIED), str(folder))
    assert (logits(hf, ids) - logits(plain, ids)).abs().max() < TOLERANCE
    with pytest.raises(InputError, match=r"adds model\.layers\.0\.mlp\.down_proj\.bias, which"):
        save_edited(worn, Changes(), tmp_path / "out")


def test_both_sides_of_a_comparison_are_brute_force_and_the_base_comes_back(kind):
    model = kind.model
    before = {name: each.clone() for name, each in model.hf.state_dict().items()}
    tensors = {name: id(each) for name, each in model.hf.named_parameters()}
    table = rows(CnaStep(prompt=PROMPT, adapter=kind.folder, top=None), model)
    with pytest.raises(RuntimeError, match="half way"), wearing(model, kind.folder):
        kind.wears(model.hf)
        raise RuntimeError("half way")
    assert {name: id(each) for name, each in model.hf.named_parameters()} == tensors
    assert all(torch.equal(before[name], each) for name, each in model.hf.state_dict().items())

    worn, below = Plainly(kind.worn.hf, kind.case), Plainly(model.hf, kind.case)
    frozen = worn.run(kind.ids).leaving[-1]
    token = worn.greedy(kind.ids, 1)[0]
    both = [each.importance(kind.ids, token, frozen) for each in (worn, below)]
    for row in table.to_dicts():
        first, second = (each[row["layer"], row["neuron"]].item() for each in both)
        assert row["importance"] == pytest.approx(first, abs=TOLERANCE)
        assert row["importance_contrast"] == pytest.approx(second, abs=TOLERANCE)


BROKEN = {
    "another prefix": (
        lambda w: {k.replace(".layers", ".language_model.layers"): v for k, v in w.items()},
        r"it lacks model\.layers\.0\.self_attn\.q_proj\.lora_A\.weight \(12 in all\); "
        r"the model has no place for model\.language_model\.layers\.0",
    ),
    "a layer missing": (
        lambda w: {k: v for k, v in w.items() if "layers.2" not in k},
        r"it lacks model\.layers\.2\.self_attn\.q_proj\.lora_A\.weight \(4 in all\)$",
    ),
    "of a deeper model": (
        lambda w: w | {f"{PREFIX}layers.7.self_attn.q_proj.lora_A.weight": torch.ones(3, 32)},
        r"the model has no place for model\.layers\.7\.self_attn\.q_proj\.lora_A\.weight",
    ),
    "of a wider model": (
        lambda w: {k: torch.ones(3, 64) if "lora_A" in k else v for k, v in w.items()},
        r"size mismatch for model\.layers\.0\.self_attn\.q_proj\.lora_A\.weight",
    ),
    "more tokens than the model": (
        lambda w: w | {f"{PREFIX}embed_tokens.weight": torch.ones(130, 32)},
        r"size mismatch for model\.embed_tokens\.weight",
    ),
}
"""What is wrong with an adapter's file, and what is said of it."""
PREFIX = "base_model.model.model."


@pytest.fixture(scope="module")
def below() -> Model:
    return open_model(built(TIED), tokenizer(TIED.bos), name="below")


@pytest.fixture(scope="module")
def plain_lora(tmp_path_factory) -> Path:
    return saved(TIED, lora("q_proj", "v_proj"), tmp_path_factory.mktemp("adapters") / "lora")


@pytest.mark.parametrize(("spoil", "said"), BROKEN.values(), ids=BROKEN)
def test_an_adapter_whose_weights_do_not_fit_is_refused(below, tmp_path, spoil, said):
    folder = saved(TIED, lora("q_proj", "v_proj"), tmp_path / "lora")
    file = folder / "adapter_model.safetensors"
    save_file(spoil(load_file(file)), file)
    with pytest.raises(
        InputError, match="^the adapter lora does not fit LlamaForCausalLM: .*"
    ) as e:
        CnaStep(prompt=PROMPT, adapter=folder).bound(below)
    assert "\n" not in str(e.value)
    assert re.search(said, str(e.value)), e.value
    assert not any("lora" in name for name, _ in below.hf.named_modules())


@pytest.mark.parametrize(
    "config",
    [
        PromptTuningConfig(num_virtual_tokens=3, **CAUSAL),
        PrefixTuningConfig(num_virtual_tokens=3, **CAUSAL),
        PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=8, **CAUSAL),
    ],
    ids=lambda config: config.peft_type.value,
)
def test_adapters_that_add_positions_are_refused(below, tmp_path, config):
    folder = saved(TIED, config, tmp_path / "prompt")
    with pytest.raises(InputError, match="adds positions that are no tokens"):
        CnaStep(prompt=PROMPT, adapter=folder).bound(below)


def test_folders_that_hold_no_adapter_in_a_safe_format_are_refused(below, plain_lora, tmp_path):
    with pytest.raises(InputError, match="is not an adapter folder"):
        CnaStep(prompt=PROMPT, adapter=tmp_path).bound(below)
    (tmp_path / "adapter_config.json").write_bytes(
        (plain_lora / "adapter_config.json").read_bytes()
    )
    (tmp_path / "adapter_model.bin").touch()
    with pytest.raises(InputError, match="pickled adapters are not opened"):
        CnaStep(prompt=PROMPT, adapter=tmp_path).bound(below)
    (tmp_path / "adapter_model.safetensors").write_text("none")
    with pytest.raises(InputError, match="cannot be read"):
        CnaStep(prompt=PROMPT, adapter=tmp_path).bound(below)


def test_heads_and_neurons_under_an_adapter_are_those_of_merged_weights(plain_lora):
    hf = built(TIED)
    put_on(hf, plain_lora)
    worn = open_model(hf, tokenizer(TIED.bos), name="worn", adapter=plain_lora)
    merged = PeftModel.from_pretrained(built(TIED), str(plain_lora)).merge_and_unload()
    plain = open_model(merged, worn.tokenizer, name="merged")
    for step in (HeadsStep(prompts=PROMPTS), NeuronsStep(prompt=PROMPT, top=20)):
        both = rows(step, worn).join(rows(step, plain), on="name")
        assert (both[step.ranked_by] - both[f"{step.ranked_by}_right"]).abs().max() < TOLERANCE


@pytest.mark.parametrize("prompts", [PROMPTS, PromptSet(name="one", prompts=(PROMPT,))])
def test_what_a_head_looks_at_under_an_adapter_is_that_of_merged_weights(
    below, plain_lora, prompts
):
    merged = PeftModel.from_pretrained(built(TIED), str(plain_lora)).merge_and_unload()
    plain = open_model(merged, below.tokenizer, name="merged")
    step = AttendStep(prompts=prompts, heads=(HeadRef(1, 2), HeadRef(2, 0)))
    worn = step.model_copy(update={"adapter": plain_lora})
    alone = rows(step, below)
    for measure in ("weight", "value_weighted"):
        expected, found = rows(step, plain)[measure], rows(worn, below)[measure]
        assert (expected - found).abs().max() < TOLERANCE
        assert (found - alone[measure]).abs().max() > 100 * TOLERANCE
    assert rows(step, below).equals(alone)
    assert worn.bound(below).baseline["adapter"] == "lora"
    assert rows(worn, below, done=["L1H2"])["name"].unique().to_list() == ["L2H0"]
    assert "wearing lora" in worn.title
    assert AttendStep.model_validate_json(worn.model_dump_json()) == worn


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("q_proj", "down_proj")])
def test_the_largest_changes_are_found_with_and_without_bounds(below, tmp_path, targets):
    folder = saved(TIED, lora(*targets), tmp_path / "lora")
    step = CnaStep(prompt=PROMPT, adapter=folder, top=None)
    everything = step.ranked(rows(step, below))
    top = rows(step.model_copy(update={"top": 5}), below)
    assert top["name"].to_list() == everything["name"].head(5).to_list()
    rest = rows(step.model_copy(update={"top": 5}), below, done=top["name"].head(2).to_list())
    assert rest["name"].to_list() == top["name"].tail(3).to_list()


def test_only_what_an_adapter_touches_is_copied(below, plain_lora):
    own = {each.data_ptr() for each in below.hf.parameters()}
    with wearing(below, plain_lora) as same_neurons:
        assert same_neurons
        new = {n for n, each in below.hf.named_parameters() if each.data_ptr() not in own}
    assert {name.split(".", 3)[3] for name in new} == {
        "self_attn.q_proj.weight",
        "self_attn.v_proj.weight",
    }


def test_half_precision_rounds_once(plain_lora):
    hf = built(TIED).to(torch.bfloat16)
    put_on(hf, plain_lora)
    merged = PeftModel.from_pretrained(
        built(TIED).to(torch.bfloat16).float(), str(plain_lora)
    ).merge_and_unload()
    for one, other in zip(hf.parameters(), merged.parameters(), strict=True):
        assert torch.equal(one, other.bfloat16())


def test_numbers_that_go_wrong_under_an_adapter_are_refused(below, plain_lora, monkeypatch):
    monkeypatch.setitem(PARITY_LIMITS, "float32", 1e-12)
    with pytest.raises(InputError, match="cannot be worn: merged .* moves logits by"):
        CnaStep(prompt=PROMPT, adapter=plain_lora).bound(below)
    with pytest.raises(InputError, match=r"below does not hold its parity .* the adapter lora"):
        require_parity(below.info, plain_lora)


def test_an_adapter_beside_a_model_s_weights_is_worn_when_it_is_asked_for(plain_lora, tmp_path):
    built(TIED).save_pretrained(tmp_path)
    tokenizer(TIED.bos).save_pretrained(tmp_path)
    for each in plain_lora.glob("adapter_*"):
        shutil.copy(each, tmp_path)
    told: list[str] = []
    bare = load_model(tmp_path, device="cpu", progress=told.append)
    worn = load_model(tmp_path, device="cpu", adapter=tmp_path)
    ids = bare.encode(PROMPT).ids
    assert torch.equal(logits(bare.hf, ids), logits(built(TIED), ids))
    assert (logits(worn.hf, ids) - logits(bare.hf, ids)).abs().max() > 1e-2
    assert f"also holds an adapter, not worn: --adapter {tmp_path} puts it on" in told[0]
    save_edited(bare, Changes(), tmp_path / "out")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert torch.equal(logits(bare.hf, ids), logits(plain, ids))
