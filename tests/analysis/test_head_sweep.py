"""The head sweep, packed and resumed, against weights edited for real, one prompt at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest
import torch
from plainly import Plainly
from tiny import few
from working import PROMPTS, encoded, rows

from analysis.bench.sweeps import intervened_scores, plain_scores
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods import heads as head_sweep
from analysis.methods.heads import sweep
from analysis.model.model import Model
from analysis.model.passes import clean_passes, join, score_pack, with_answers
from analysis.refs import HeadRef, NeuronRef
from analysis.steps import HeadsStep
from analysis.tasks.prompts import PromptSet

TOLERANCE = 1e-5


def answers(plainly: Plainly, model: Model) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each prompt with its answer; the model's own first choice where none is given."""
    return [(each.ids, each.answer_ids or plainly.greedy(each.ids, 1)) for each in encoded(model)]


def assert_row_equals(row: dict, edited: Plainly, cases: list) -> None:
    """Compare one row with the edited model, prompt by prompt."""
    plain = [edited.answered(ids, answer) for ids, answer in cases]
    logprobs = [logprob for logprob, _ in plain]
    assert row["prompt_logprob"] == pytest.approx(logprobs, abs=TOLERANCE)
    assert row["prompt_correct"] == [right for _, right in plain]
    assert row["logprob"] == pytest.approx(sum(logprobs) / len(plain), abs=TOLERANCE)
    probs = [math.exp(each) for each in logprobs]
    assert row["prob"] == pytest.approx(sum(probs) / len(plain), abs=TOLERANCE)
    assert row["accuracy"] == sum(right for _, right in plain) / len(plain)


def test_zeroing_each_head_gives_what_zeroing_its_weights_gives(model, plainly):
    table = rows(HeadsStep(prompts=PROMPTS), model)
    cases = answers(plainly, model)
    assert len(table) == model.info.layers * model.info.heads
    assert table["name"].n_unique() == len(table)
    for row in table.to_dicts():
        assert row["name"] == f"L{row['layer']}H{row['head']}"
        assert_row_equals(row, plainly.without_heads((row["layer"], row["head"])), cases)


@few
def test_mean_ablation_gives_what_a_constant_in_the_head_s_place_gives(model, plainly):
    table = rows(HeadsStep(prompts=PROMPTS, mode="mean"), model)
    cases = answers(plainly, model)
    means = plainly.head_means([ids + answer[:-1] for ids, answer in cases])
    assert len(table) == model.info.layers * model.info.heads
    for row in table.to_dicts()[::3]:
        head = (row["layer"], row["head"])
        assert_row_equals(row, plainly.without_heads(head, means=means), cases)


@few
def test_the_baseline_is_the_intact_model(model, plainly):
    work = HeadsStep(prompts=PROMPTS).bound(model)
    assert_row_equals(work.baseline, plainly, answers(plainly, model))


def test_every_head_matters_somewhere_so_that_the_comparison_can_fail(model):
    work = HeadsStep(prompts=PROMPTS).bound(model)
    intact = work.baseline["prompt_logprob"]
    for row in pl.concat(list(work.frames(()))).to_dicts():
        moved = [abs(a - b) for a, b in zip(row["prompt_logprob"], intact, strict=True)]
        assert max(moved) > 100 * TOLERANCE, row["name"]


def test_first_order_estimates_are_the_derivative_by_a_head_s_scale(model, plainly):
    work = HeadsStep(prompts=PROMPTS).bound(model)
    assert work.estimates is not None
    slopes = plainly.slopes_of_heads(answers(plainly, model))
    for row in work.estimates.to_dicts():
        slope = slopes[row["layer"], row["head"]].item()
        estimate = row["logprob"] - work.baseline["logprob"]
        assert estimate == pytest.approx(-slope, abs=1e-4), row["name"]


def test_estimates_in_mean_mode_are_the_slope_towards_the_mean(llama, plain_llama):
    work = HeadsStep(prompts=PROMPTS, mode="mean").bound(llama)
    cases = answers(plain_llama, llama)
    means = plain_llama.head_means([ids + answer[:-1] for ids, answer in cases])
    share = 0.01
    for row in work.estimates.to_dicts()[::4]:
        head = (row["layer"], row["head"])
        more = plain_llama.without_heads(head, means=means, share=share)
        less = plain_llama.without_heads(head, means=means, share=-share)
        changes = [more.answered(*each)[0] - less.answered(*each)[0] for each in cases]
        slope = sum(changes) / len(changes) / (2 * share)
        estimate = row["logprob"] - work.baseline["logprob"]
        assert estimate == pytest.approx(slope, rel=1e-2, abs=2e-3), row["name"]


def test_rows_come_with_the_largest_estimates_first(llama):
    work = HeadsStep(prompts=PROMPTS).bound(llama)
    sizes = {
        row["name"]: abs(row["logprob"] - work.baseline["logprob"])
        for row in work.estimates.to_dicts()
    }
    arrived = [sizes[name] for name in pl.concat(list(work.frames(())))["name"]]
    assert arrived == sorted(arrived, reverse=True)


def test_a_subset_of_heads_gives_the_same_rows_as_all_of_them(llama):
    wanted = ("L2H0", "L0H3", "L1H1")
    some = rows(HeadsStep(prompts=PROMPTS, heads=wanted), llama)
    all_rows = rows(HeadsStep(prompts=PROMPTS), llama)
    assert set(some["name"]) == set(wanted)
    both = some.join(all_rows, on="name")
    assert len(both) == 3
    assert (both["logprob"] - both["logprob_right"]).abs().max() < TOLERANCE


def test_resuming_yields_the_rows_that_are_missing_and_no_other(llama):
    step = HeadsStep(prompts=PROMPTS)
    everything = rows(step, llama)
    done = everything["name"].to_list()[:5]
    rest = rows(step, llama, done)
    assert set(rest["name"]) == set(everything["name"]) - set(done)
    both = rest.join(everything, on="name")
    assert (both["logprob"] - both["logprob_right"]).abs().max() < TOLERANCE


def test_a_finished_sweep_has_nothing_left_to_resume(llama):
    step = HeadsStep(prompts=PROMPTS, heads=("L0H0", "L1H0"))
    assert list(step.run(llama, ["L0H0", "L1H0"])) == []


@few
def test_heads_ablated_together_equal_their_weights_zeroed_together(model, plainly):
    heads = (HeadRef(0, 1), HeadRef(2, 0), HeadRef(2, 3))
    cases = with_answers(model, PROMPTS.prompts)
    together = plain_scores(model, cases, heads)
    edited = plainly.without_heads((0, 1), (2, 0), (2, 3))
    plain = [edited.answered(each.ids, each.answer_ids) for each in cases]
    assert together.logprob[0].tolist() == pytest.approx([p for p, _ in plain], abs=TOLERANCE)
    assert together.correct[0].tolist() == [right for _, right in plain]


@few
def test_heads_and_neurons_ablated_together_equal_both_edits(model, plainly):
    change = Intervention(heads=(HeadRef(1, 2),), neurons=(NeuronRef(0, 3), NeuronRef(2, 5)))
    cases = with_answers(model, PROMPTS.prompts)
    together = intervened_scores(model, cases, [change])
    edited = plainly.without_heads((1, 2)).without_neurons((0, 3), (2, 5))
    plain = [edited.answered(each.ids, each.answer_ids)[0] for each in cases]
    assert together.logprob[0].tolist() == pytest.approx(plain, abs=TOLERANCE)


@few
def test_the_plain_twin_gives_the_same_as_pack_and_resume(model):
    cases = with_answers(model, PROMPTS.prompts)
    for row in rows(HeadsStep(prompts=PROMPTS), model).to_dicts()[::2]:
        twin = plain_scores(model, cases, [HeadRef(row["layer"], row["head"])])
        assert row["prompt_logprob"] == pytest.approx(twin.logprob[0].tolist(), abs=TOLERANCE)


def test_several_packs_give_the_same_as_one(llama, monkeypatch):
    one = rows(HeadsStep(prompts=PROMPTS), llama)
    monkeypatch.setattr("analysis.model.model.PACK_NODES", {"cpu": 12})
    assert len(clean_passes(llama, with_answers(llama, PROMPTS.prompts))) > 2
    several = rows(HeadsStep(prompts=PROMPTS), llama)
    both = one.join(several, on="name")
    for row in both.to_dicts():
        assert row["prompt_logprob"] == pytest.approx(row["prompt_logprob_right"], abs=TOLERANCE)


def test_small_batches_give_the_same_as_large_ones(llama, monkeypatch):
    large = rows(HeadsStep(prompts=PROMPTS), llama)
    monkeypatch.setattr(head_sweep, "BATCH_TOKENS", {"cpu": 1})
    frames = list(HeadsStep(prompts=PROMPTS).run(llama))
    assert [len(frame) for frame in frames] == [1] * len(large)
    both = large.join(pl.concat(frames), on="name")
    assert (both["logprob"] - both["logprob_right"]).abs().max() < TOLERANCE


def test_a_batch_that_does_not_fit_is_halved_and_tried_again(llama):
    sizes = []

    def tight(module, given):
        sizes.append(len(given[0]))
        if sizes[-1] > 3:
            raise torch.OutOfMemoryError("too much")

    whole = rows(HeadsStep(prompts=PROMPTS), llama)
    hook = llama.hf.model.layers[-1].mlp.down_proj.register_forward_pre_hook(tight)
    try:
        halved = rows(HeadsStep(prompts=PROMPTS), llama)
    finally:
        hook.remove()
    assert max(sizes) > 3
    both = whole.join(halved, on="name")
    assert len(both) == len(whole)
    assert (both["logprob"] - both["logprob_right"]).abs().max() < TOLERANCE


def test_an_answer_counts_as_right_when_greedy_decoding_gives_it(llama, plain_llama):
    ids = encoded(llama)[0].ids
    answer = plain_llama.greedy(ids, 3)
    wrong_end = (*answer[:-1], (answer[-1] + 1) % llama.info.vocabulary)
    cases = [replace(encoded(llama)[0], answer_ids=each) for each in (answer, wrong_end)]
    passes = clean_passes(llama, cases)
    scores = join([score_pack(llama, each.packed, each.final) for each in passes])
    assert scores.correct[0].tolist() == [True, False]
    expected = [plain_llama.answered(ids, each)[0] for each in (answer, wrong_end)]
    assert scores.logprob[0].tolist() == pytest.approx(expected, abs=TOLERANCE)


def test_a_model_that_cannot_pack_gets_the_same_rows_the_plain_way(llama):
    packed = rows(HeadsStep(prompts=PROMPTS), llama)
    unpacked = Model(
        llama.hf, llama.tokenizer, llama.parts, llama.info.model_copy(update={"packed": False})
    )
    plain = rows(HeadsStep(prompts=PROMPTS), unpacked)
    both = packed.join(plain, on="name")
    assert len(both) == len(packed) == len(plain)
    for row in both.to_dicts():
        assert row["prompt_logprob"] == pytest.approx(row["prompt_logprob_right"], abs=TOLERANCE)
        assert row["prompt_correct"] == row["prompt_correct_right"]


def test_no_hook_stays_behind_when_a_sweep_is_stopped_half_way(llama):
    frames = HeadsStep(prompts=PROMPTS).bound(llama).frames(())
    next(frames)
    frames.close()
    hooked = [
        name
        for name, module in llama.hf.named_modules()
        if module._forward_hooks or module._forward_pre_hooks
    ]
    assert hooked == []


def test_sweeping_leaves_gradients_as_its_caller_set_them(llama):
    passes = clean_passes(llama, with_answers(llama, PROMPTS.prompts))
    batches = sweep(llama, passes, [HeadRef(0, 0), HeadRef(1, 0)])
    next(batches)
    assert torch.is_grad_enabled()


def test_a_head_the_model_does_not_have_is_refused(llama):
    with pytest.raises(InputError, match=r"L3H0 is not in .*layers 0 to 2 with heads 0 to 3"):
        HeadsStep(prompts=PROMPTS, heads=("L3H0",)).bound(llama)
    with pytest.raises(InputError, match="L0H4"):
        HeadsStep(prompts=PROMPTS, heads=("L0H4",)).bound(llama)


def test_a_prompt_longer_than_the_model_reads_is_refused(llama):
    prompts = PromptSet.single("1" * (llama.info.context + 1))
    with pytest.raises(InputError, match=f"the model reads {llama.info.context} at most"):
        HeadsStep(prompts=prompts).bound(llama)
