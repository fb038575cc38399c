"""Sets of parts ablated together, against weights edited for real, one prompt at a time."""

from __future__ import annotations

from contextlib import ExitStack

import polars as pl
import pytest
import torch
from plain_parts import columns, seen, values
from plainly import Plainly
from tiny import few
from working import PROMPTS, encoded, rows

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model.forward import intervening
from analysis.model.model import Model
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import AblateStep, HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet

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


PAIRS = PromptSet(
    name="pairs",
    prompts=(
        Prompt(prompt="one and abc", corrupt="one and xyz", answer="b", wrong=("a", "n")),
        Prompt(prompt="two and pqr", corrupt="one and pqs", answer=("c", "e"), wrong="9"),
        Prompt(prompt="one and cde", answer="ab"),
    ),
)
"""The last has no corrupt prompt: one of the others stands in for it."""


def replaced_plainly(model, plain, change, case, other, value, positions) -> tuple[float, float]:
    """Log-probability of the first answer, and logit difference, by hooks in one forward a token.

    Args:
        other: tokens of the run that values come from, behind the prompt as in the case.
    """
    units = ("head", "neuron") if value == "mean" else ()
    means = {unit: mean_values(plain, unit) for unit in units}

    def putting(unit, layer, index, length):
        new = values(plain, unit, other[:length])[layer] if value == "resample" else None

        def put(x):
            own = columns(plain, unit, index)
            where = slice(None) if positions is None else positions
            if value == "resample":
                with_it = new[where, own]
            else:
                with_it = means[unit][layer][own] if value == "mean" else 0.0
            x[where, own] = change.factor * x[where, own] + (1 - change.factor) * with_it
            return x

        return seen(plain, unit, layer, put)

    total, gap = 0.0, None
    for place in range(len(case.answer_ids)):
        ids = case.ids + case.answer_ids[:place]
        with ExitStack() as stack:
            for ref in (*change.heads, *change.neurons):
                unit = "head" if isinstance(ref, HeadRef) else "neuron"
                stack.enter_context(putting(unit, ref.layer, ref.index, len(ids)))
            logits = plain._logits(ids)
        answers = [case.answer_ids[place]] if place or len(case.answer_ids) > 1 else case.first
        total += (logits[list(answers)].logsumexp(-1) - logits.logsumexp(-1)).item()
        if gap is None and case.wrong:
            gap = (logits[list(case.first)].mean() - logits[list(case.wrong)].mean()).item()
    return total, gap


def mean_values(plain, unit) -> list:
    texts = [each.ids + each.answer_ids[:-1] for each in encoded(plain.read_by, PAIRS)]
    found = [values(plain, unit, ids) for ids in texts]
    return [torch.cat(layers).mean(0) for layers in zip(*found, strict=True)]


def test_parts_of_every_family_are_what_they_are_in_another_run(model, plainly):
    check_replaced(model, plainly, "resample", (-3, 2))


@few
@pytest.mark.parametrize(
    ("value", "positions"),
    [("resample", "all"), ("mean", "all"), ("mean", (2,)), ("zero", (0, -1))],
)
def test_parts_are_replaced_everywhere_and_at_positions(model, plainly, value, positions):
    check_replaced(model, plainly, value, positions)


def check_replaced(model, plainly, value, positions) -> None:
    plainly.read_by = model
    sets = (Intervention.parse("L1H2,L2N5"), Intervention.parse("L0N3,L1H0", factor=0.25))
    step = AblateStep(prompts=PAIRS, sets=sets, mode=value, positions=positions, seed=3)
    work = step.bound(model)
    table = pl.concat(work.frames(()))
    assert (
        table.height == work.expected == len(sets) * (1 if positions == "all" else len(positions))
    )
    others = list(map(model.encode, PAIRS.prompts))
    sources = [model.encode(Prompt(prompt=each.corrupt)).ids for each in PAIRS.prompts[:2]]
    if value == "resample":
        *corrupt, number = work.baseline["prompt_resampled_from"]
        assert corrupt == [None, None]
        assert number in (1, 2)
        sources.append(others[number - 1].ids)
    for row in table.iter_rows(named=True):
        change = next(each for each in sets if row["name"].startswith(each.names))
        for place, case in enumerate(others):
            source = sources[place] + case.answer_ids if value == "resample" else None
            logprob, gap = replaced_plainly(
                model, plainly, change, case, source, value, row["position"]
            )
            assert row["prompt_logprob"][place] == pytest.approx(logprob, abs=1e-4)
            if gap is not None:
                assert row["prompt_logit_difference"][place] == pytest.approx(gap, abs=1e-4)
        assert row["prompt_logit_difference"][2] is None


def test_a_row_says_its_position_and_the_record_where_values_came_from(llama):
    sets = (Intervention.parse("L1H2"),)
    step = AblateStep(prompts=PAIRS, sets=sets, mode="resample", positions=(-1,))
    work = step.bound(llama)
    (row,) = pl.concat(work.frames(())).iter_rows(named=True)
    assert (row["name"], row["position"], row["token"]) == ("L1H2@6", 6, None)
    assert work.baseline["resampled_from"] == (
        "the corrupt prompt, and for 1 of 3 cases another one of as many tokens, drawn by the seed"
    )
    assert step.model_dump()["positions"] == (-1,)
    plain = AblateStep(prompts=PAIRS, sets=sets)
    assert not {"positions", "seed"} & set(plain.model_dump(mode="json"))
    intact = plain.bound(llama).baseline
    for name in ("logprob", "accuracy", "logit_difference"):
        assert work.baseline[name] == pytest.approx(intact[name], abs=1e-5)
    names = [each.name for each in plain.filled]
    assert "position" not in names


def test_the_sets_already_on_disk_are_not_computed_again(llama):
    step = AblateStep(prompts=PROMPTS, sets=tuple(Intervention.parse(each) for each in SETS))
    rest = pl.concat(list(step.run(llama, done=SETS[:3])))
    assert rest["name"].to_list() == [SETS[3]]


def test_sets_that_cannot_be_are_refused(llama):
    with pytest.raises(InputError, match="position 9 is beyond a prompt of"):
        AblateStep.of(prompts=PAIRS, sets=(Intervention.parse("L0H0"),), positions=(9,)).bound(
            llama
        )
    alone = PromptSet(name="one", prompts=(Prompt(prompt="Q", answer="a"),))
    with pytest.raises(InputError, match="no corrupt prompt and no other case of as many tokens"):
        AblateStep.of(prompts=alone, sets=(Intervention.parse("L0H0"),), mode="resample").bound(
            llama
        )
    with pytest.raises(InputError, match="step ablate: sets"):
        AblateStep.of(prompts=PROMPTS, sets=())
    with pytest.raises(InputError, match="L0H0 is given 2 times; give each set once"):
        AblateStep.of(prompts=PROMPTS, sets=(Intervention.parse("L0H0"),) * 2)
    with pytest.raises(InputError, match="L3H0 is not in"):
        AblateStep(prompts=PROMPTS, sets=(Intervention.parse("L0H0,L3H0"),)).bound(llama)
