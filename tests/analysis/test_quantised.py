"""8- and 4-bit models against float models that hold the same numbers, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from packed_weights import loaded, with_plain_numbers, write_packed
from peft import PeftModel
from plainly import Plainly, log_softmax, matrix
from tiny import WIDTH, TinyCase, built, named, rows_from, tokenizer
from torch import nn
from working import PROMPTS, encoded, rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model import weights
from analysis.model.loading import load_model
from analysis.model.model import Model
from analysis.steps import CnaStep, HeadsStep, NeuronsStep, ProjectStep
from analysis.tasks.prompts import Prompt

TOLERANCE = 2e-5
PROMPT = Prompt(prompt="the sum of one and 3 is ")

LLAMA = named("llama grouped")
# bitsandbytes turns GPT-2's transposed projections into ordinary ones.
GPT2 = replace(named("gpt2"), value=rows_from("attn.c_attn", 2 * WIDTH))
GEMMA = named("gemma2")


@dataclass(frozen=True)
class Way:
    """How a model comes to have packed weights."""

    packing: Mapping[str, Any]
    bits: int | None = None
    """Packed on loading; None: in the folder already."""
    saved_in: str = "float32"


NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
WAYS = {
    "bits 8": Way({"load_in_8bit": True}, bits=8),
    "bits 4": Way(NF4, bits=4),
    "folder of 8 bits": Way({"load_in_8bit": True}, saved_in="float16"),
    # As such folders usually are: saved from bfloat16, to be computed in bfloat16.
    "folder of 4 bits": Way(
        {**NF4, "bnb_4bit_use_double_quant": True, "bnb_4bit_compute_dtype": torch.bfloat16},
        saved_in="bfloat16",
    ),
    "folder of fp4": Way({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}),
    "folder of 4 bits, unembedding too": Way({**NF4, "llm_int8_skip_modules": ["none"]}),
}
PAIRS = [
    (LLAMA, "bits 8"),
    (LLAMA, "bits 4"),
    (LLAMA, "folder of 8 bits"),
    (LLAMA, "folder of 4 bits"),
    (GPT2, "bits 8"),
    (GPT2, "bits 4"),
    (GPT2, "folder of fp4"),
    (GPT2, "folder of 4 bits, unembedding too"),
    (GEMMA, "bits 8"),
    (GEMMA, "folder of 4 bits"),
]


def saved(case: TinyCase, folder: Path) -> Path:
    """The tiny model as a folder of floats."""
    built(case).save_pretrained(folder)
    tokenizer(case.bos).save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Pair:
    """A packed model as it is opened, and the float model with its numbers."""

    model: Model
    plainly: Plainly
    way: Way


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0].name}, {pair[1]}")
def pair(request, tmp_path_factory) -> Pair:
    case, name = request.param
    way = WAYS[name]
    folder = tmp_path_factory.mktemp("models")
    floats = saved(case, folder / "floats")
    if way.bits is not None:
        model = load_model(floats, bits=way.bits, device="cpu")
        packed = loaded(floats, **way.packing)
    else:
        written = write_packed(floats, folder / "packed", way.saved_in, **way.packing)
        model = load_model(written, device="cpu")
        packed = loaded(written)
    return Pair(model, Plainly(with_plain_numbers(packed), case), way)


@pytest.fixture(scope="module")
def llama_folder(tmp_path_factory) -> Path:
    return saved(LLAMA, tmp_path_factory.mktemp("models") / "floats")


@pytest.fixture(scope="module")
def llama4(llama_folder) -> Model:
    return load_model(llama_folder, bits=4, device="cpu")


def test_the_record_says_what_the_weights_are(pair):
    info = pair.model.info
    bits = 8 if "load_in_8bit" in pair.way.packing else 4
    assert info.weights == f"{bits}-bit (bitsandbytes)"
    assert (info.dtype, info.bits) == ("float32", pair.way.bits)
    assert info.precision == f"{bits}-bit (bitsandbytes) float32"
    assert info.versions["bitsandbytes"]
    assert info.parameters == pair.plainly.hf.num_parameters()


def test_it_computes_what_the_float_model_computes(pair):
    for each in encoded(pair.model):
        with torch.no_grad():
            own = pair.model.hf(input_ids=torch.tensor([each.ids])).logits[0, -1].double()
        plain = pair.plainly.logits(each.ids)
        assert (own - plain).abs().max() < TOLERANCE * plain.abs().max()


def test_parity_holds_as_tightly_as_with_floats(pair):
    parity = pair.model.info.parity
    assert parity.logits < 2e-5
    assert parity.residual < 1e-6
    assert parity.neurons < 1e-6
    assert pair.model.info.packed


def test_values_are_the_columns_of_the_matrix_in_use(pair):
    parts, plainly = pair.model.parts, pair.plainly
    assert parts.head_width * parts.heads == plainly.attention_out(0).in_features
    for layer in range(pair.model.info.layers):
        wanted = matrix(plainly.ffn_out(layer)).T
        assert parts.values(layer).shape == wanted.shape
        assert (parts.values(layer) - wanted).abs().max() < 1e-6
        some = torch.tensor([5, 0, 23])
        assert torch.equal(parts.values(layer, some), parts.values(layer)[some])
    assert (parts.unembedding_weight - plainly.unembedding).abs().max() < 1e-6


def test_a_factor_on_a_neuron_is_no_part_of_the_value_that_is_asked_for(pair):
    plain = pair.model.values(1)
    with pair.model.changed([Intervention.parse("L1N4", 0.5)]):
        assert torch.equal(pair.model.values(1), plain)


def test_a_matrix_asked_for_in_pieces_is_the_same(llama4, monkeypatch):
    whole = llama4.parts.values(1)
    monkeypatch.setattr(weights, "CHUNK", 5)
    assert torch.equal(llama4.parts.values(1), whole)


def test_a_bias_far_larger_than_the_weights_hides_none_of_them(tmp_path):
    """In low precision, taking it off an answer would leave no digit of the weight."""
    hf = built(GPT2)
    for layer in hf.transformer.h:
        layer.mlp.c_proj.bias.fill_(300.0)
    hf.save_pretrained(tmp_path)
    tokenizer(False).save_pretrained(tmp_path)
    model = load_model(tmp_path, bits=4, dtype="bfloat16", device="cpu")
    plainly = Plainly(with_plain_numbers(loaded(tmp_path, "bfloat16", **NF4)), GPT2)
    wanted = matrix(plainly.ffn_out(1)).T
    assert (model.parts.values(1).float() - wanted).abs().max() < 0.004 * wanted.abs().max()


def test_zeroing_each_head_gives_what_zeroing_its_weights_gives(pair):
    model, plainly = pair.model, pair.plainly
    cases = [(each.ids, each.answer_ids or plainly.greedy(each.ids, 1)) for each in encoded(model)]
    table = rows(HeadsStep(prompts=PROMPTS), model)
    assert len(table) == model.info.layers * model.info.heads
    for row in table.to_dicts():
        edited = plainly.without_heads((row["layer"], row["head"]))
        plain = [edited.answered(ids, answer) for ids, answer in cases]
        assert row["prompt_logprob"] == pytest.approx([p for p, _ in plain], abs=TOLERANCE)
        assert row["prompt_correct"] == [right for _, right in plain]


def test_first_order_estimates_are_the_derivative_by_a_head_s_scale(pair):
    model, plainly = pair.model, pair.plainly
    cases = [(each.ids, each.answer_ids or plainly.greedy(each.ids, 1)) for each in encoded(model)]
    work = HeadsStep(prompts=PROMPTS).bound(model)
    assert work.estimates is not None
    every = plainly.slopes_of_heads(cases)
    slopes = [every[r["layer"], r["head"]].item() for r in work.estimates.to_dicts()]
    found = [row["logprob"] - work.baseline["logprob"] for row in work.estimates.to_dicts()]
    assert found == pytest.approx([-slope for slope in slopes], abs=1e-4)
    assert max(map(abs, slopes)) > 0.1


def answer_of(pair: Pair, frozen: torch.Tensor) -> int:
    return int(pair.plainly.readout(frozen, frozen).argmax())


def test_importance_is_the_log_probability_a_neuron_s_vector_adds(pair):
    ids = pair.model.encode(PROMPT).ids
    frozen = pair.plainly.run(ids).leaving[-1]
    plain = pair.plainly.importance(ids, answer_of(pair, frozen), frozen)
    table = rows(NeuronsStep(prompt=PROMPT, top=None), pair.model)
    assert len(table) == plain.numel()
    for row in table.to_dicts():
        wanted = plain[row["layer"], row["neuron"]].item()
        assert row["importance"] == pytest.approx(wanted, abs=TOLERANCE)


def test_cna_compares_with_the_model_whose_weights_are_edited(pair):
    model, plainly = pair.model, pair.plainly
    ids = model.encode(PROMPT).ids
    frozen = plainly.run(ids).leaving[-1]
    answer = answer_of(pair, frozen)
    edited = plainly.without_heads((0, 1), (1, 3))
    before, after = (each.importance(ids, answer, frozen) for each in (plainly, edited))
    change = (before - after).flatten()
    top = change.topk(10)
    step = CnaStep(prompt=PROMPT, ablate=Intervention.parse("L0H1,L1H3"), top=10)
    table = rows(step, model)
    assert table["importance_change"].to_list() == pytest.approx(top.values.tolist(), abs=TOLERANCE)
    for row in table.to_dicts():
        place = row["layer"] * model.info.neurons + row["neuron"]
        assert row["importance_change"] == pytest.approx(change[place].item(), abs=TOLERANCE)
        wanted = after.flatten()[place].item()
        assert row["importance_contrast"] == pytest.approx(wanted, abs=TOLERANCE)
    named_answer = log_softmax(plainly.readout(frozen, frozen))[answer].item()
    assert step.bound(model).baseline["logprob"] == pytest.approx(named_answer, abs=TOLERANCE)


def assert_top(table: pl.DataFrame, logits: torch.Tensor) -> None:
    top = table.filter(pl.col("end") == "top")
    best = logits.topk(len(top))
    assert top["token_id"].to_list() == best.indices.tolist()
    size = max(1.0, logits.abs().max().item())
    assert top["logit"].to_list() == pytest.approx(best.values.tolist(), abs=TOLERANCE * size)


def test_a_neuron_is_read_as_its_value_bare_in_a_run_and_through_attention(pair):
    model, plainly = pair.model, pair.plainly
    ids = model.encode(PROMPT).ids
    frozen = plainly.run(ids).leaving[-1]
    added = plainly.contributions(ids, 1)[5]
    in_run = rows(ProjectStep(source="L1N5", prompt=PROMPT, top=7), model)
    assert_top(in_run, plainly.direction(added, frozen))
    through = rows(ProjectStep(source="L1N5", prompt=PROMPT, through=2, top=7), model)
    assert_top(through, plainly.direction(plainly.transformed(added, 2, ids), frozen))
    value = matrix(plainly.ffn_out(0))[:, 3].double()
    if plainly.case.ffn_post_norm is not None:
        value = value * plainly.norm_weight(
            plainly.layers[0].get_submodule("post_feedforward_layernorm")
        )
    assert_top(rows(ProjectStep(source="L0N3", top=7), model), plainly.readout(value, value))


def test_a_head_is_read_as_what_it_adds(pair):
    ids = pair.model.encode(PROMPT).ids
    frozen = pair.plainly.run(ids).leaving[-1]
    written = pair.plainly.head_outputs(ids, 1)[2]
    table = rows(ProjectStep(source="L1H2", prompt=PROMPT, top=7), pair.model)
    assert_top(table, pair.plainly.direction(written, frozen))


@pytest.mark.parametrize("bits", [8, 4])
def test_bits_do_change_the_numbers(llama_folder, bits):
    floats, packed = (load_model(llama_folder, bits=b, device="cpu") for b in (None, bits))
    moved = (floats.parts.values(0) - packed.parts.values(0)).abs().max()
    assert (1e-4 if bits == 8 else 1e-2) < moved < 0.2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("bits", [8, 4])
def test_dtype_is_what_is_computed_in(llama_folder, bits, dtype):
    model = load_model(llama_folder, bits=bits, dtype=dtype, device="cpu")
    assert (model.info.dtype, model.info.weights) == (dtype, f"{bits}-bit (bitsandbytes)")
    assert model.info.parity_holds
    table = rows(HeadsStep(prompts=PROMPTS), model)
    exact = rows(HeadsStep(prompts=PROMPTS), load_model(llama_folder, bits=bits, device="cpu"))
    both = table.join(exact, on="name")
    # How bfloat16 is summed differs between processors.
    assert 1e-5 < (both["logprob"] - both["logprob_right"]).abs().max() < 0.5


def adapter_on(folder: Path, into: Path, *targets: str) -> Path:
    """A random LoRA adapter made for the float model."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(folder)
    wrapped = get_peft_model(hf, LoraConfig(r=2, target_modules=list(targets)))
    generator = torch.Generator().manual_seed(4)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = noise / parameter.shape[-1] ** 0.5
    wrapped.save_pretrained(into)
    return into


@pytest.mark.parametrize("bits", [8, 4])
def test_an_adapter_on_packed_weights_counts_in_values_and_answers(llama_folder, tmp_path, bits):
    adapter = adapter_on(llama_folder, tmp_path / "lora", "v_proj", "down_proj")
    model = load_model(llama_folder, bits=bits, device="cpu", adapter=adapter)
    packing = next(way.packing for way in WAYS.values() if way.bits == bits)
    plain = with_plain_numbers(loaded(llama_folder, **packing))
    plain = PeftModel.from_pretrained(plain, str(adapter)).merge_and_unload()
    assert model.info.parity.worst < 2e-5
    for layer in range(model.info.layers):
        wanted = plain.model.layers[layer].mlp.down_proj.weight.T
        assert (model.parts.values(layer) - wanted).abs().max() < 1e-5
    for each in encoded(model):
        with torch.no_grad():
            own = model.hf(input_ids=torch.tensor([each.ids])).logits[0, -1]
            same = plain(input_ids=torch.tensor([each.ids])).logits[0, -1]
        assert (own - same).abs().max() < TOLERANCE * same.abs().max()


@pytest.mark.parametrize("bits", [8, 4])
def test_cna_takes_an_adapter_on_and_off_packed_weights(llama_folder, tmp_path, bits):
    adapter = adapter_on(llama_folder, tmp_path / "lora", "v_proj")
    model = load_model(llama_folder, bits=bits, device="cpu")
    worn = load_model(llama_folder, bits=bits, device="cpu", adapter=adapter)
    table = rows(CnaStep(prompt=PROMPT, adapter=adapter, top=None), model)
    wearing = rows(NeuronsStep(prompt=PROMPT, top=None), worn).join(table, on="name")
    assert (wearing["importance"] - wearing["importance_right"]).abs().max() < TOLERANCE
    assert table["importance_change"].abs().max() > 1e-3
    again = rows(CnaStep(prompt=PROMPT, adapter=adapter, top=None), model)
    assert again["importance_contrast"].to_list() == table["importance_contrast"].to_list()


def test_weights_of_few_bits_cannot_be_edited(llama4):
    with pytest.raises(InputError) as caught:
        llama4.require_editable()
    assert str(caught.value) == (
        "floats: its weights are 4-bit (bitsandbytes) and cannot be edited; "
        "load it in float32 without --bits, or the model that it was quantised from"
    )


def test_floats_can_be_edited(llama_folder):
    model = load_model(llama_folder, device="cpu")
    model.require_editable()
    assert model.info.weights is None
    assert model.info.precision == "float32"


def test_what_is_quantised_is_not_quantised_again(llama_folder, tmp_path):
    folder = write_packed(llama_folder, tmp_path / "packed", **NF4)
    message = r"^packed is quantised already, 4-bit \(bitsandbytes\): leave --bits out$"
    with pytest.raises(InputError, match=message):
        load_model(folder, bits=8, device="cpu")


def test_other_numbers_of_bits_are_refused(llama_folder):
    with pytest.raises(InputError, match="^weights of 3 bits cannot be made; choose 8 or 4$"):
        load_model(llama_folder, bits=3, device="cpu")


def test_without_bitsandbytes_it_says_what_to_install(llama_folder, tmp_path, monkeypatch):
    folder = write_packed(llama_folder, tmp_path / "packed", load_in_8bit=True)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    install = r"pip install 'cna-workbench\[quantised\]'$"
    with pytest.raises(InputError, match=rf"^--bits 4 needs bitsandbytes: {install}"):
        load_model(llama_folder, bits=4, device="cpu")
    with pytest.raises(InputError, match=rf"^packed, 8-bit \(bitsandbytes\), needs .*{install}"):
        load_model(folder, device="cpu")


def test_a_backward_pass_keeps_no_floats_of_packed_weights(pair):
    """Otherwise the estimates would hold a float copy of every layer at once."""
    kept: list[tuple[int, ...]] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point() and tensor.dim() == 2:
            kept.append(tuple(tensor.shape))
        return tensor

    down = pair.model.parts.layers[0].ffn_out
    x = torch.ones(1, down.in_features, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        down(x).sum().backward()
    matrices = [shape for shape in kept if 1 not in shape]
    assert matrices == []
    wanted = matrix(pair.plainly.ffn_out(0)).sum(0)
    assert x.grad is not None
    assert (x.grad[0] - wanted).abs().max() < 1e-5


def test_a_float_weight_in_odd_packing_is_not_taken_for_a_matrix():
    """Some formats keep packed bits in tensors that call themselves floats."""

    class Odd(nn.Parameter):
        """A packed weight of a class of its own."""

    linear = nn.Linear(3, 2)
    right = linear.weight.detach().clone()
    linear.weight = Odd(right, requires_grad=False)
    assert weights.stored(linear) is None
    assert torch.equal(weights.columns(linear, torch.float32), right.T)
