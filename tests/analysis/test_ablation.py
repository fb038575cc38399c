"""Sets of parts ablated together, against weights edited for real, one prompt at a time."""

from __future__ import annotations

import polars as pl
import pytest
import torch
from plainly import Plainly
from tiny import few
from working import PROMPTS, encoded, rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model.forward import intervening
from analysis.model.model import Model
from analysis.refs import NeuronRef
from analysis.steps import AblateStep, HeadsStep

TOLERANCE = 1e-5
SETS = ("L1H2", "L0H1,L2H3", "L1N4", "L2H0,L1H3,L0N5,L2N1")


def edited(plainly: Plainly, change: Intervention) -> Plainly:
    """The model with the parts' weights taken away."""
    heads = plainly.without_heads(*((ref.layer, ref.index) for ref in change.heads))
    return heads.without_neurons(*((ref.layer, ref.index) for ref in change.neurons))


def plain_logprobs(model: Model, plainly: Plainly, other: Plainly) -> list[float]:
    cases = [(each.ids, each.answer_ids or plainly.greedy(each.ids, 1)) for each in encoded(model)]
    return [other.answered(ids, answer)[0] for ids, answer in cases]


@few
def test_a_set_gives_what_zeroing_all_its_weights_gives(model, plainly):
    sets = tuple(Intervention.parse(each) for each in SETS)
    table = rows(AblateStep(prompts=PROMPTS, sets=sets), model)
    assert table["name"].to_list() == list(SETS)
    for change, row in zip(sets, table.to_dicts(), strict=True):
        assert (row["heads"], row["neurons"]) == (len(change.heads), len(change.neurons))
        plain = plain_logprobs(model, plainly, edited(plainly, change))
        assert row["prompt_logprob"] == pytest.approx(plain, abs=TOLERANCE)


def test_a_set_of_one_head_is_its_row_of_the_sweep(llama):
    for mode in ("zero", "mean"):
        swept = rows(HeadsStep(prompts=PROMPTS, mode=mode, heads=("L1H2",)), llama)
        alone = rows(
            AblateStep(prompts=PROMPTS, sets=(Intervention.parse("L1H2"),), mode=mode), llama
        )
        for name in ("accuracy", "logprob", "prob"):
            assert alone[name].item() == pytest.approx(swept[name].item(), abs=TOLERANCE)


def test_half_a_head_lies_between_all_of_it_and_none(llama, plain_llama):
    half = Intervention.parse("L0H0", factor=0.5)
    row = rows(AblateStep(prompts=PROMPTS, sets=(half,)), llama).row(0, named=True)
    plain = plain_logprobs(llama, plain_llama, plain_llama.without_heads((0, 0), share=0.5))
    assert row["prompt_logprob"] == pytest.approx(plain, abs=TOLERANCE)


def test_every_neuron_of_a_layer_taken_away_is_the_ffn_taken_away(llama, plain_llama):
    neurons = tuple(NeuronRef(1, k) for k in range(llama.info.neurons))
    change = Intervention(neurons=neurons)
    row = rows(AblateStep(prompts=PROMPTS, sets=(change,)), llama).row(0, named=True)
    plain = plain_logprobs(llama, plain_llama, edited(plain_llama, change))
    assert row["prompt_logprob"] == pytest.approx(plain, abs=TOLERANCE)


def test_a_neuron_named_in_two_interventions_is_scaled_by_both(llama):
    half = Intervention.parse("L1N4,L1N5", factor=0.5)
    (case, *_) = encoded(llama)
    with intervening(llama.parts, [half, Intervention.parse("L1N4", factor=0.0)]):
        both = llama.hf(torch.tensor([case.ids])).logits[0, -1]
    with intervening(llama.parts, [Intervention.parse("L1N4"), Intervention.parse("L1N5", 0.5)]):
        once = llama.hf(torch.tensor([case.ids])).logits[0, -1]
    assert torch.equal(both, once)


def test_the_sets_already_on_disk_are_not_computed_again(llama):
    step = AblateStep(prompts=PROMPTS, sets=tuple(Intervention.parse(each) for each in SETS))
    rest = pl.concat(list(step.run(llama, done=SETS[:3])))
    assert rest["name"].to_list() == [SETS[3]]


def test_sets_that_cannot_be_are_refused(llama):
    with pytest.raises(InputError, match="mean ablation is for heads"):
        AblateStep.of(prompts=PROMPTS, sets=(Intervention.parse("L0N1"),), mode="mean")
    with pytest.raises(InputError, match="step ablate: sets"):
        AblateStep.of(prompts=PROMPTS, sets=())
    with pytest.raises(InputError, match="L0H0 is given 2 times; give each set once"):
        AblateStep.of(prompts=PROMPTS, sets=(Intervention.parse("L0H0"),) * 2)
    with pytest.raises(InputError, match="L3H0 is not in"):
        AblateStep(prompts=PROMPTS, sets=(Intervention.parse("L0H0,L3H0"),)).bound(llama)
