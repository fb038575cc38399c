"""Neurons a head drives, masked and kept, against weights edited for real."""

from __future__ import annotations

import polars as pl
import pytest
import torch
from plainly import Ids, Plainly
from tiny import few
from working import rows

from analysis.errors import InputError
from analysis.methods.circuit import decrease
from analysis.model.model import Model
from analysis.refs import NeuronRef
from analysis.steps import CircuitStep
from analysis.tasks.prompts import Prompt, PromptSet

TOLERANCE = 1e-5
CASES = PromptSet(
    name="two",
    prompts=(
        Prompt(prompt="2 + 3 = ", answer="5"),
        Prompt(prompt="the sum of 2 and 31 is ", answer="33"),
    ),
)
HEAD = (1, 2)
STEP = CircuitStep(prompts=CASES, head="L1H2", tops=(5, 2), seed=3)
Neurons = list[tuple[int, int]]


def named(names: list[str]) -> Neurons:
    refs = [NeuronRef.parse(name) for name in names]
    return [(ref.layer, ref.index) for ref in refs]


def deep_but(model: Model, kept: Neurons) -> Neurons:
    info = model.info
    deep = [(layer, n) for layer in range(HEAD[0], info.layers) for n in range(info.neurons)]
    return [each for each in deep if each not in kept]


def lost(plainly: Plainly, other: Plainly, ids: Ids, neurons: Neurons) -> float:
    """Share of the neurons' coefficients that is gone in the other model."""
    before, after = plainly.run(ids).coefficients, other.run(ids).coefficients
    total = sum(abs(before[each].item()) for each in neurons)
    turned = {each: (before[each] > 0).item() - (before[each] < 0).item() for each in neurons}
    left = sum(after[each].item() * turned[each] for each in neurons)
    return 1 - left / total


@pytest.fixture(scope="module")
def table(model: Model) -> pl.DataFrame:
    return rows(STEP, model)


def case_of(model: Model, row: dict[str, object]) -> tuple[Ids, Ids]:
    encoded = model.encode(CASES.prompts[row["case"]])
    return encoded.ids, encoded.answer_ids


@few
def test_the_neurons_are_those_the_head_changes_most(model, plainly, table):
    for row in table.filter(pl.col("top") == 5).to_dicts():
        ids, answer = case_of(model, row)
        frozen = plainly.run(ids).leaving[-1]
        without = plainly.without_heads(HEAD)
        change = plainly.importance(ids, answer[0], frozen)
        change = (change - without.importance(ids, answer[0], frozen))[HEAD[0] :]
        best = change.flatten().topk(5).values.tolist()
        own = [change[layer - HEAD[0], neuron].item() for layer, neuron in named(row["neurons"])]
        assert own == pytest.approx(best, abs=TOLERANCE)


@few
def test_masking_and_keeping_are_zeroing_weights(model, plainly, table):
    for row in table.to_dicts():
        ids, answer = case_of(model, row)
        top, others = named(row["neurons"]), named(row["neurons_random"])
        edits = {
            "intact": plainly,
            "head": plainly.without_heads(HEAD),
            "mask": plainly.without_neurons(*top),
            "mask_random": plainly.without_neurons(*others),
            "keep": plainly.without_neurons(*deep_but(model, top)),
            "keep_random": plainly.without_neurons(*deep_but(model, others)),
        }
        for name, edited in edits.items():
            logprob, right = edited.answered(ids, answer)
            assert row[f"{name}_logprob"] == pytest.approx(logprob, abs=TOLERANCE)
            assert row[f"{name}_correct"] == right


@few
def test_lost_coefficients_are_those_of_edited_weights(model, plainly, table):
    for row in table.to_dicts():
        ids, _ = case_of(model, row)
        top = named(row["neurons"])
        (lowest,), (stand_in,) = named([row["lowest"]]), named([row["lowest_random"]])
        others = [each for each in top if each != lowest]
        for name, edited, neurons in (
            ("coefficient_decrease", plainly.without_heads(HEAD), top),
            ("lowest_decrease", plainly.without_neurons(lowest), others),
            ("lowest_random_decrease", plainly.without_neurons(stand_in), others),
        ):
            assert row[name] == pytest.approx(lost(plainly, edited, ids, neurons), abs=1e-4)


@few
def test_the_lowest_is_the_most_important_of_its_layer(model, plainly, table):
    for row in table.to_dicts():
        ids, answer = case_of(model, row)
        top = named(row["neurons"])
        layer = min(layer for layer, _ in top)
        importance = plainly.importance(ids, answer[0], plainly.run(ids).leaving[-1])
        best = max(importance[each].item() for each in top if each[0] == layer)
        (lowest,) = named([row["lowest"]])
        assert lowest[0] == layer
        assert importance[lowest].item() == pytest.approx(best, abs=TOLERANCE)


@few
def test_controls_are_other_neurons_of_the_same_layers(table):
    for row in table.to_dicts():
        top, others = named(row["neurons"]), named(row["neurons_random"])
        assert sorted(layer for layer, _ in top) == sorted(layer for layer, _ in others)
        assert not set(top) & set(others)
        assert len(set(others)) == len(others)
        (lowest,), (stand_in,) = named([row["lowest"]]), named([row["lowest_random"]])
        assert stand_in[0] == lowest[0]
        assert stand_in == others[top.index(lowest)]
    # Nor is it any of the others that the head drives, where a layer has some left.
    for _, both in table.group_by("case"):
        driven = {each for names in both["neurons"].to_list() for each in names}
        assert not driven & {each for names in both["neurons_random"].to_list() for each in names}


def test_the_seed_alone_decides_the_controls(llama):
    again = rows(STEP, llama)
    assert again.equals(rows(STEP, llama))
    other = rows(STEP.model_copy(update={"seed": 4}), llama)
    assert again["neurons"].equals(other["neurons"])
    assert not again["neurons_random"].equals(other["neurons_random"])


def test_rows_already_on_disk_are_not_computed_again(llama):
    whole = rows(STEP, llama)
    rest = rows(STEP, llama, done=whole["name"].to_list()[:3])
    assert rest.equals(whole[3:])


def test_every_deep_neuron_can_be_asked_for(llama):
    deep = (llama.info.layers - HEAD[0]) * llama.info.neurons
    table = rows(STEP.model_copy(update={"tops": (deep,)}), llama)
    assert table["neurons"].list.len().to_list() == [deep, deep]
    assert table["keep_logprob"].to_list() == pytest.approx(table["intact_logprob"].to_list())
    assert table["neurons_random"].list.len().to_list() == [0, 0]
    for name in ("mask_random_logprob", "keep_random_correct", "lowest_random_decrease"):
        assert table[name].to_list() == [None, None]
    note = f"no random control: layers 1 to {llama.info.layers - 1} have too few other neurons"
    assert table["control_note"].to_list() == [note, note]


def test_a_turned_sign_is_more_than_a_full_decrease():
    assert decrease(torch.tensor([2.0, -1.0]), torch.tensor([-1.0, -1.0])) == pytest.approx(1.0)
    assert decrease(torch.tensor([-2.0]), torch.tensor([1.0])) == pytest.approx(1.5)
    assert decrease(torch.tensor([2.0]), torch.tensor([2.0])) == 0
    assert decrease(torch.tensor([0.0]), torch.tensor([2.0])) is None


def test_what_cannot_be_done_is_refused(llama):
    deep = (llama.info.layers - HEAD[0]) * llama.info.neurons
    with pytest.raises(InputError, match=f"{deep + 1} neurons are more than the {deep} from L1H2"):
        rows(STEP.model_copy(update={"tops": (deep + 1,)}), llama)
    with pytest.raises(InputError, match="L9H9 is not in"):
        rows(CircuitStep.of(prompts=CASES, head="L9H9"), llama)
    with pytest.raises(InputError, match="each 1 or more"):
        CircuitStep.of(prompts=CASES, head="L1H2", tops=(0,))
    bare = PromptSet(name="bare", prompts=(Prompt(prompt="2 + 3 = "),))
    with pytest.raises(InputError, match="case 1 of bare has no answer"):
        CircuitStep.of(prompts=bare, head="L1H2")
