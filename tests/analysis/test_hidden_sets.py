"""Sets of shallow neurons zeroed, against weights edited for real."""

from __future__ import annotations

from collections import Counter

import pytest
from plainly import Plainly
from working import rows

from analysis.errors import InputError
from analysis.hidden_sets import sets_of
from analysis.model import Model
from analysis.prompts import Prompt, PromptSet
from analysis.steps import HiddenSetsStep

CASES = PromptSet(
    name="two",
    prompts=(
        Prompt(prompt="2 + 3 = ", answer="5"),
        Prompt(prompt="the sum of 2 and 31 is ", answer="33"),
    ),
)


def step_for(model: Model, **changes: object) -> HiddenSetsStep:
    """Two shallow layers whose neurons hold 0 to 3 concepts in turn."""
    counts = tuple(
        tuple((neuron + layer) % 4 for neuron in range(model.info.neurons)) for layer in range(2)
    )
    values = {"prompts": CASES, "concepts": counts, "thresholds": (0, 2, 3, 4), "controls": 2}
    return HiddenSetsStep.of(**(values | changes))


def test_each_set_is_zeroed_as_a_whole(model: Model, plainly: Plainly):
    step = step_for(model)
    table = rows(step, model)
    sets = {each.name: each for each in sets_of(step)}
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
    sets = {each.name: each for each in sets_of(step)}
    quarter = llama.info.neurons // 4
    assert [each.least for each in sets.values()] == [0, 2, 2, 2, 3, 3, 3]  # none holds 4
    assert len(sets["M ≥ 0"].neurons) == 2 * llama.info.neurons
    for least, size in ((2, 4 * quarter), (3, 2 * quarter)):
        chosen = sets[f"M ≥ {least}"]
        assert len(chosen.neurons) == size
        assert all(step.concepts[ref.layer][ref.index] >= least for ref in chosen.neurons)
        layers = Counter(ref.layer for ref in chosen.neurons)
        draws = [sets[f"M ≥ {least} random {draw}"].neurons for draw in range(2)]
        assert all(Counter(ref.layer for ref in each) == layers for each in draws)
        assert all(len(set(each)) == size for each in draws)
        assert draws[0] != draws[1]


def test_the_seed_alone_decides_the_random_sets(llama):
    step = step_for(llama)
    assert list(sets_of(step)) == list(sets_of(step))
    assert list(sets_of(step)) != list(sets_of(step_for(llama, seed=1)))


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
