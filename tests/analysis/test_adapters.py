"""Every kind of PEFT adapter: worn, compared, exported and taken off as plain PEFT does it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
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
    VeraConfig,
    get_peft_model,
)
from plainly import Plainly
from tiny import TinyCase, built, named, tokenizer
from transformers import AutoModelForCausalLM
from working import rows

from analysis.adapters import put_on, wearing
from analysis.changes import Changes
from analysis.editing import save_edited
from analysis.loading import open_model
from analysis.model import Model
from analysis.prompts import Prompt
from analysis.steps import CnaStep

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


@dataclass(frozen=True)
class Kind:
    """An adapter, the model below, and what plain PEFT computes for the two."""

    case: TinyCase
    folder: Path
    model: Model
    ids: tuple[int, ...]
    right: torch.Tensor

    def wears(self, hf: Any) -> None:
        assert (logits(hf, self.ids) - self.right).abs().max() < TOLERANCE * 10

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
    worn = kind.worn()
    kind.wears(worn.hf)
    assert worn.info.parity_holds
    assert worn.info.adapter == "adapter"
    save_edited(worn, Changes(), tmp_path)
    kind.wears(AutoModelForCausalLM.from_pretrained(tmp_path))


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

    worn, below = Plainly(kind.worn().hf, kind.case), Plainly(model.hf, kind.case)
    frozen = worn.run(kind.ids).leaving[-1]
    token = worn.greedy(kind.ids, 1)[0]
    both = [each.importance(kind.ids, token, frozen) for each in (worn, below)]
    for row in table.to_dicts():
        first, second = (each[row["layer"], row["neuron"]].item() for each in both)
        assert row["importance"] == pytest.approx(first, abs=TOLERANCE)
        assert row["importance_contrast"] == pytest.approx(second, abs=TOLERANCE)
    top = rows(CnaStep(prompt=PROMPT, adapter=kind.folder, top=5), model)
    changes = (both[0] - both[1]).flatten().topk(5).values
    assert top["importance_change"].to_list() == pytest.approx(changes.tolist(), abs=TOLERANCE * 2)
