"""Inspection finds what was edited and nothing else, in every family, without loading a model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import named, opened

from analysis.changes import Changes
from analysis.changing.inspection import inspect
from analysis.changing.saving import save_edited
from analysis.errors import InputError

EDIT = Changes.parse(["L0H1", "L1H2=0.5", "L1N4", "L2N7=-1.5"])


def test_exactly_the_edited_parts_are_found(model, case, tmp_path):
    save_edited(model, Changes(), tmp_path / "base")
    save_edited(model, EDIT, tmp_path / "edited")
    found = inspect(tmp_path / "edited", tmp_path / "base")
    parts = {each.name: each for each in (*found.of("head"), *found.of("neuron"))}
    assert {name: each.factor for name, each in parts.items()} == {
        str(part): factor for part, factor in EDIT.factors
    }
    names = [f"{case.layers}.0.{case.attention_out}", f"{case.layers}.1.{case.attention_out}"]
    names += [f"{case.layers}.1.{case.ffn_out}", f"{case.layers}.2.{case.ffn_out}"]
    prefix = case.layers.partition(".")[0] + "."
    tensors = {each.name for each in found.of("tensor")}
    assert tensors == {f"{name.removeprefix(prefix)}.weight" for name in names}
    assert f"4 of {found.tensors} tensors differ; 2 heads (1 zeroed, 1 scaled); " in found.verdict
    assert found.verdict.endswith("2 neurons (1 zeroed, 1 scaled)")


@pytest.fixture
def base(tmp_path):
    save_edited(opened(named("llama grouped")), Changes(), tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def copied(base, tmp_path):
    """Writes a copy of the base whose tensors are changed by a function."""

    def make(change):
        save_edited(opened(named("llama grouped")), Changes(), tmp_path / "copy")
        file = tmp_path / "copy" / "model.safetensors"
        tensors = load_file(file)
        tensors = change(tensors) or tensors
        save_file(tensors, file, metadata={"format": "pt"})
        return tmp_path / "copy"

    return make


def test_the_same_weights_do_not_differ(base, copied):
    found = inspect(copied(lambda tensors: None), base)
    assert found.differences == []
    assert found.verdict == f"no difference: all {found.tensors} tensors are equal"


def test_a_training_step_is_no_scaling(base, copied):
    def train(tensors):
        tensors["model.layers.1.mlp.down_proj.weight"][:, 3] += 1e-3 * torch.randn(32)
        tensors["model.layers.0.self_attn.q_proj.weight"][0, 0] += 0.5

    found = inspect(copied(train), base)
    (neuron,) = found.of("neuron")
    assert (neuron.name, neuron.layer, neuron.factor) == ("L1N3", 1, None)
    query = next(each for each in found.of("tensor") if "q_proj" in each.name)
    assert query.largest == pytest.approx(0.5)
    assert query.changed == pytest.approx(1 / (4 * 12 * 32))
    assert found.verdict == f"2 of {found.tensors} tensors differ; 1 neuron (1 otherwise)"


def test_the_same_numbers_in_another_type_do_not_differ(base, copied):
    norm = "model.norm.weight"

    def round_one(tensors):
        tensors[norm] = tensors[norm].bfloat16()

    rounded = inspect(copied(round_one), base)
    assert rounded.differences == []
    assert rounded.verdict.endswith("tensors are equal to the base rounded to bfloat16")
    (found,) = inspect(base, copied(round_one)).differences  # the base stores less
    assert (found.name, found.note) == ("norm.weight", "float32, in the base bfloat16")
    copy = copied(lambda tensors: {name: each.double() for name, each in tensors.items()})
    assert inspect(copy, base).differences == []


def test_names_with_and_without_the_prefix_are_the_same_tensor(base, copied):
    copy = copied(
        lambda tensors: {name.removeprefix("model."): each for name, each in tensors.items()}
    )
    assert inspect(copy, base).differences == []


def test_a_tied_unembedding_need_not_be_there_twice(base, copied):
    def untied(tensors):
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    assert inspect(copied(untied), base).differences == []
    assert inspect(base, base.parent / "copy").differences == []


def test_tensors_that_one_side_lacks_are_named(base, copied):
    def more(tensors):
        tensors["model.extra.weight"] = torch.zeros(2)
        del tensors["model.norm.weight"]

    notes = {each.name: each.note for each in inspect(copied(more), base).differences}
    assert notes == {"norm.weight": "only in base", "extra.weight": "only in copy"}


def test_what_cannot_be_compared_is_refused(base, copied, tmp_path):
    save_edited(opened(named("gpt2")), Changes(), tmp_path / "other")
    with pytest.raises(InputError, match="are different models: model_type is gpt2, not llama"):
        inspect(tmp_path / "other", base)

    def longer(tensors):
        tensors["model.norm.weight"] = torch.zeros(33)

    with pytest.raises(InputError, match=r"norm.weight has the shape \[33\], in the base \[32\]"):
        inspect(copied(longer), base)
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(InputError, match="copy/model.safetensors is damaged"):
        inspect(tmp_path / "copy", base)
    (tmp_path / "copy" / "model.safetensors").unlink()
    with pytest.raises(InputError, match="copy holds no weights"):
        inspect(tmp_path / "copy", base)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty has no usable model config"):
        inspect(tmp_path / "empty", base)
