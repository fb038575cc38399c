"""Sets of shallow neurons zeroed, against weights edited for real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from plainly import Plainly
from tiny import few
from working import rows

from analysis.errors import InputError
from analysis.methods.hidden import NeuronSet, sets_of
from analysis.model.model import Model
from analysis.refs import NeuronRef
from analysis.steps import HiddenSetsStep
from analysis.tasks.prompts import Prompt, PromptSet

CASES = PromptSet(
    name="two",
    prompts=(
        Prompt(prompt="2 + 3 = ", answer="5"),
        Prompt(prompt="the sum of 2 and 31 is ", answer="33"),
    ),
)


def step_for(model: Model, **changes: object) -> HiddenSetsStep:
    """Two shallow layers; of eight neurons one holds 3 concepts, two 2, four 1 and one none."""
    held = (0, 1, 2, 3, 1, 2, 1, 1)
    counts = tuple(
        tuple(held[(neuron + layer) % 8] for neuron in range(model.info.neurons))
        for layer in range(2)
    )
    values = {"prompts": CASES, "concepts": counts, "thresholds": (0, 2, 3, 4), "controls": 2}
    return HiddenSetsStep.of(**(values | changes))


def sets_in(step: HiddenSetsStep) -> Iterator[NeuronSet]:
    """The sets that a step zeroes."""
    return sets_of(step.concepts, step.thresholds, step.controls, step.seed)


@few
def test_each_set_is_zeroed_as_a_whole(model: Model, plainly: Plainly):
    step = step_for(model)
    table = rows(step, model)
    sets = {each.name: each for each in sets_in(step)}
    assert table["name"].to_list() == list(sets)
    encoded = [model.encode(each) for each in CASES.prompts]
    for row in table.to_dicts():
        neurons = [(ref.layer, ref.index) for ref in sets[row["name"]].neurons]
        edited = plainly.without_neurons(*neurons)
        outcomes = [edited.answered(each.ids, each.answer_ids) for each in encoded]
        logprobs = [logprob for logprob, _ in outcomes]
        assert row["prompt_logprob"] == pytest.approx(logprobs, abs=1e-5)
        assert row["prompt_correct"] == [right for _, right in outcomes]
        assert row["neurons"] == len(neurons)


def test_sets_hold_what_they_say_and_random_ones_as_many_in_each_layer(llama):
    step = step_for(llama)
    sets = {each.name: each for each in sets_in(step)}
    eighth = llama.info.neurons // 8
    assert [each.least for each in sets.values()] == [0, 2, 2, 2, 3, 3, 3]  # none holds 4
    assert len(sets["M ≥ 0"].neurons) == 2 * llama.info.neurons
    assert "too few other neurons" in (sets["M ≥ 0"].note or "")
    for least, size in ((2, 6 * eighth), (3, 2 * eighth)):
        chosen = sets[f"M ≥ {least}"]
        assert len(chosen.neurons) == size
        assert all(step.concepts[ref.layer][ref.index] >= least for ref in chosen.neurons)
        layers = Counter(ref.layer for ref in chosen.neurons)
        draws = [sets[f"M ≥ {least} random {draw}"].neurons for draw in range(2)]
        assert all(Counter(ref.layer for ref in each) == layers for each in draws)
        assert all(len(set(each)) == size for each in draws)
        assert not any(set(chosen.neurons) & set(each) for each in draws)
        assert draws[0] != draws[1]


def test_the_rows_say_which_neurons_were_drawn_and_where_none_could_be(llama):
    step = step_for(llama)
    sets = {each.name: each for each in sets_in(step)}
    for row in rows(step, llama).to_dicts():
        read = [
            NeuronRef.parse(f"{layer}N{index}")
            for layer, indices in (text.split("N") for text in row["drawn"] or ())
            for index in indices.split(",")
        ]
        drawn = () if row["draw"] is None else sets[row["name"]].neurons
        assert sorted(read) == sorted(drawn)
        assert (row["control_note"] is None) == (row["least"] > 0)


def test_the_seed_alone_decides_the_random_sets(llama):
    step = step_for(llama)
    assert list(sets_in(step)) == list(sets_in(step))
    assert list(sets_in(step)) != list(sets_in(step_for(llama, seed=1)))


def test_sets_on_disk_are_not_computed_again_and_rows_are_ordered_by_size(llama):
    step = step_for(llama)
    whole = rows(step, llama)
    done = whole["name"].to_list()[:4]
    assert rows(step, llama, done=done).equals(whole[4:])
    assert step.ranked(whole.reverse())["name"].to_list() == whole["name"].to_list()


def test_counts_of_another_model_and_cases_without_answers_are_refused(llama):
    with pytest.raises(InputError, match="concepts are given for 1 layers of 3 neurons"):
        rows(step_for(llama, concepts=((1, 2, 3),)), llama)
    with pytest.raises(InputError, match="every layer has equally many neurons"):
        step_for(llama, concepts=((1, 2), (1,)))
    bare = PromptSet(name="bare", prompts=(Prompt(prompt="2 + 3 = "),))
    with pytest.raises(InputError, match="case 1 of bare has no answer"):
        step_for(llama, prompts=bare)
