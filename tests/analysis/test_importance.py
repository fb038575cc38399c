"""Importance and CNA against adding every neuron's vector to the residual in float64."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
import torch
from plainly import Plainly, log_softmax
from tiny import TinyCase, built, few, named, tokenizer
from working import rows, scaled

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods import importance
from analysis.methods import neurons as neuron_scores
from analysis.methods.importance import Bounds, Scored
from analysis.model.loading import open_model
from analysis.model.model import Model
from analysis.model.trace import trace
from analysis.step import parse_step
from analysis.steps import CnaStep, NeuronsStep
from analysis.tasks.prompts import Prompt

PROMPT = Prompt(prompt="the sum of one and 3 is ")
OTHER = Prompt(prompt="the sum of 9 and two is ")
TOLERANCE = 1e-5


def table_of(values: torch.Tensor, name: str) -> pl.DataFrame:
    """[L, N] as rows by neuron name."""
    return pl.DataFrame(
        [
            {"name": f"L{layer}N{neuron}", name: values[layer, neuron].item()}
            for layer in range(values.shape[0])
            for neuron in range(values.shape[1])
        ]
    )


def assert_same(rows: pl.DataFrame, column: str, plain: torch.Tensor) -> None:
    both = rows.join(table_of(plain, "plain"), on="name")
    assert len(both) == len(rows)
    scale = max(1.0, plain.abs().max().item())
    assert (both[column] - both["plain"]).abs().max() < TOLERANCE * scale


def chosen(plainly: Plainly, model: Model) -> tuple[tuple[int, ...], int, torch.Tensor]:
    """The prompt's ids, its first choice, and the final residual that freezes the norm."""
    ids = model.encode(PROMPT).ids
    return ids, plainly.greedy(ids, 1)[0], plainly.run(ids).leaving[-1]


def test_importance_is_the_log_probability_a_neuron_s_vector_adds(model, plainly):
    ids, token, frozen = chosen(plainly, model)
    table = rows(NeuronsStep(prompt=PROMPT, top=None), model)
    assert len(table) == model.info.layers * model.info.neurons
    assert_same(table, "importance", plainly.importance(ids, token, frozen))
    assert_same(table, "coefficient", plainly.run(ids).coefficients)


@few
def test_importance_of_a_named_answer_is_that_of_its_first_token(model, plainly):
    ids, _, frozen = chosen(plainly, model)
    prompt = PROMPT.model_copy(update={"answer": "7 + 7"})
    token = model.tokenizer("7", add_special_tokens=False).input_ids[0]
    table = rows(NeuronsStep(prompt=prompt, top=None), model)
    assert_same(table, "importance", plainly.importance(ids, token, frozen))


def test_cna_compares_with_the_model_whose_weights_are_edited(model, plainly):
    ids, token, frozen = chosen(plainly, model)
    change = Intervention.parse("L0H2,L1H3,L2N1")
    edited = plainly.without_heads(*((ref.layer, ref.index) for ref in change.heads))
    edited = edited.without_neurons(*((ref.layer, ref.index) for ref in change.neurons))
    table = rows(CnaStep(prompt=PROMPT, ablate=change, top=None), model)

    first = plainly.importance(ids, token, frozen)
    second = edited.importance(ids, token, frozen)
    assert (first - second).abs().max() > 100 * TOLERANCE
    assert_same(table, "importance", first)
    assert_same(table, "importance_contrast", second)
    assert_same(table, "importance_change", first - second)
    after = edited.run(ids).coefficients
    for ref in change.neurons:  # its weights are gone, so its coefficient counts for nothing
        after[ref.layer, ref.index] = 0
    assert_same(table, "coefficient_change", plainly.run(ids).coefficients - after)


@few
def test_cna_compares_with_a_variant_of_several_factors(model, plainly):
    ids, token, frozen = chosen(plainly, model)
    variant = Changes.parse(["L0H1", "L1H2=0.5", "L0N4=0.25", "L1N5", "L2N4=-2"])
    table = rows(CnaStep(prompt=PROMPT, ablate=variant.interventions, top=None), model)
    first = plainly.importance(ids, token, frozen)
    edited = scaled(plainly, variant)
    second = edited.importance(ids, token, frozen)
    assert (first - second).abs().max() > 100 * TOLERANCE
    assert_same(table, "importance_contrast", second)
    assert_same(table, "importance_change", first - second)
    after = edited.run(ids).coefficients
    for ref in variant.neurons:  # what its weights are multiplied by, live its coefficient is
        after[ref.layer, ref.index] *= dict(variant.factors)[ref]
    assert_same(table, "coefficient_contrast", after)


def test_a_variant_has_one_form_as_a_contrast_and_older_records_read_as_they_did():
    zeroed = Intervention.parse("L0H1,L1N4")
    record = {"kind": "cna", "prompt": PROMPT.model_dump(), "ablate": zeroed.model_dump()}
    old = parse_step(record)
    assert old == CnaStep(prompt=PROMPT, ablate=zeroed)
    assert old == CnaStep(prompt=PROMPT, ablate=Changes.of([zeroed]).interventions)
    assert old.model_dump(mode="json")["ablate"] == zeroed.model_dump(mode="json")
    one, other = (Changes.parse(each) for each in (["L0H1=2", "L0N4"], ["L0N4", "L0H1=2"]))
    both = CnaStep(prompt=PROMPT, ablate=one.interventions)
    assert both.contrast == one.interventions
    assert both.title.startswith("CNA · intact against L0H1 × 2, L0N4 zeroed")
    assert parse_step(both.model_dump(mode="json")) == both
    again = (*other.interventions, *one.interventions)  # the last word on each part counts
    assert CnaStep(prompt=PROMPT, ablate=again) == both
    with pytest.raises(InputError, match="nothing is ablated"):
        CnaStep.of(prompt=PROMPT, ablate=())


def test_cna_against_another_prompt_keeps_the_first_run_s_answer_and_norm(model, plainly):
    ids, token, frozen = chosen(plainly, model)
    others = model.encode(OTHER).ids
    table = rows(CnaStep(prompt=PROMPT, against=OTHER, top=None), model)
    second = plainly.importance(others, token, frozen)
    assert_same(table, "importance_contrast", second)
    assert_same(table, "importance_change", plainly.importance(ids, token, frozen) - second)


@few
def test_the_baseline_says_how_likely_the_answer_is_in_both_runs(model, plainly):
    ids, token, _ = chosen(plainly, model)
    edited = plainly.without_heads((0, 1))
    baseline = CnaStep(prompt=PROMPT, ablate=Intervention.parse("L0H1")).bound(model).baseline
    intact = log_softmax(plainly.logits(ids))[token].item()
    contrast = log_softmax(edited.logits(ids))[token].item()
    assert baseline["answer_id"] == token
    assert baseline["logprob"] == pytest.approx(intact, abs=TOLERANCE)
    assert baseline["logprob_contrast"] == pytest.approx(contrast, abs=TOLERANCE)


STEPS = {
    "importance": lambda top: NeuronsStep(prompt=PROMPT, top=top),
    "by a head": lambda top: CnaStep(prompt=PROMPT, ablate=Intervention.parse("L0H1"), top=top),
    "by a prompt": lambda top: CnaStep(prompt=PROMPT, against=OTHER, top=top),
}


@few
@pytest.mark.parametrize("kind", ["importance", "by a head"])
def test_certified_rows_are_those_of_scoring_every_neuron(model, monkeypatch, kind):
    """Names, order and values; with few tokens favoured, so that the bounds are loose."""
    monkeypatch.setattr(importance, "FAVOURED", 4)
    monkeypatch.setattr(neuron_scores, "CHUNK", {"cpu": 3})
    step = STEPS[kind](None)
    everything = rows(step, model).sort(
        [step.ranked_by, "layer", "neuron"], descending=[True, False, False]
    )
    for top in (1, 5, 40):
        certified = rows(STEPS[kind](top), model)
        assert certified["name"].to_list() == everything["name"].head(top).to_list(), top
        difference = certified[step.ranked_by] - everything[step.ranked_by].head(top)
        assert difference.abs().max() < 1e-6 * max(1.0, everything[step.ranked_by].abs().max())
        assert certified["tokens"].to_list() == everything["tokens"].head(top).to_list(), top


@pytest.mark.parametrize("kind", STEPS)
def test_the_best_neuron_is_found_without_scoring_every_neuron(llama, monkeypatch, kind):
    monkeypatch.setattr(neuron_scores, "CHUNK", {"cpu": 3})
    seen = []
    in_halves = neuron_scores.in_halves
    monkeypatch.setattr(
        neuron_scores, "in_halves", lambda *args: seen.append(len(args[1])) or in_halves(*args)
    )
    rows(STEPS[kind](1), llama)
    assert 0 < sum(seen) < llama.info.layers * llama.info.neurons / 2


@pytest.mark.parametrize("favoured", [1, 4, 1_000])
def test_every_neuron_lies_between_its_bounds(uncapped, monkeypatch, favoured):
    model, plainly = uncapped
    monkeypatch.setattr(importance, "FAVOURED", favoured)
    ids, token, frozen = chosen(plainly, model)
    run = trace(model, ids)
    contrast = trace(model, model.encode(OTHER).ids)
    readout = run.freeze(model)
    runs = tuple(Scored.prepare(each, readout, token) for each in (run, contrast))
    exact = (
        plainly.importance(ids, token, frozen),
        plainly.importance(model.encode(OTHER).ids, token, frozen),
    )
    for (low, high), value in zip(Bounds(model, runs).of_all(), exact, strict=True):
        assert (low <= value).all()
        assert (value <= high).all()
        assert (high - low).median() < 0.1, "bounds so wide that they tell nothing"


@pytest.mark.parametrize("favoured", [(1, 8), (8, 1), (4, 1_000)])
def test_a_closer_look_gives_bounds_too_and_closer_ones(llama, plain_llama, monkeypatch, favoured):
    for name, count in zip(("FAVOURED", "CLOSELY"), favoured, strict=True):
        monkeypatch.setattr(importance, name, count)
    ids, token, frozen = chosen(plain_llama, llama)
    run, contrast = trace(llama, ids), trace(llama, llama.encode(OTHER).ids)
    runs = tuple(Scored.prepare(each, run.freeze(llama), token) for each in (run, contrast))
    bounds = Bounds(llama, runs)
    layers, neurons = torch.tensor([2, 0, 1, 1, 2]), torch.tensor([5, 3, 20, 0, 11])
    exact = [plain_llama.importance(each, token, frozen) for each in (ids, llama.encode(OTHER).ids)]
    widths = []
    for closely, everywhere, values in zip(
        bounds.closely(layers, neurons), bounds.of_all(), exact, strict=True
    ):
        value = values[layers, neurons]
        assert (closely[0] <= value).all()
        assert (value <= closely[1]).all()
        apart = [
            (high - low).mean() for low, high in (closely, [e[layers, neurons] for e in everywhere])
        ]
        widths.append(apart)
    for close, coarse in widths:
        assert (close < coarse) == (favoured[1] > favoured[0])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("gain", [3.0, 10.0, 40.0])
def test_bounds_hold_where_weights_are_large_and_logits_overflow(monkeypatch, gain, seed):
    """Contributions of hundreds of nats: exponentials are cut, and rounding counts."""
    monkeypatch.setattr(importance, "FAVOURED", 3)
    case = replace(named("llama"), name=f"large {gain} {seed}", gain=gain, seed=seed)
    hf = built(case)
    hf.lm_head.weight.mul_(gain)
    model = open_model(hf, tokenizer(case.bos), name=case.name)
    plainly = Plainly(hf, case)
    ids, token, frozen = chosen(plainly, model)
    for answer in (token, (token + 7) % model.info.vocabulary):
        run = trace(model, ids)
        scored = Scored.prepare(run, run.freeze(model), answer)
        ((low, high),) = Bounds(model, (scored,)).of_all()
        value = plainly.importance(ids, answer, frozen)
        assert (low <= value).all()
        assert (value <= high).all()


@pytest.mark.parametrize("gain", [3.0, 40.0])
def test_certified_rows_hold_where_weights_are_large(monkeypatch, gain):
    monkeypatch.setattr(importance, "FAVOURED", 3)
    monkeypatch.setattr(neuron_scores, "CHUNK", {"cpu": 4})
    case = replace(named("llama"), name=f"large {gain}", gain=gain, seed=5)
    hf = built(case)
    hf.lm_head.weight.mul_(gain)
    model = open_model(hf, tokenizer(case.bos), name=case.name)
    for kind, step in STEPS.items():
        ranked_by = step(None).ranked_by
        everything = rows(step(None), model).sort(
            [ranked_by, "layer", "neuron"], descending=[True, False, False]
        )
        certified = rows(step(10), model)
        assert certified["name"].to_list() == everything["name"].head(10).to_list(), kind


def test_neurons_that_tie_come_in_the_model_s_own_order(monkeypatch):
    """Neurons that write nothing all have importance zero."""
    monkeypatch.setattr(neuron_scores, "CHUNK", {"cpu": 4})
    case = TinyCase("llama with idle neurons", "llama", named("llama").config)
    hf = built(case)
    for layer in hf.model.layers:
        layer.mlp.down_proj.weight[:, 4:] = 0
    model = open_model(hf, tokenizer(False), name=case.name)
    everything = rows(NeuronsStep(prompt=PROMPT, top=72), model)
    idle = everything.filter(pl.col("importance") == 0)
    assert len(idle) == 3 * 20
    assert idle["name"].to_list() == [
        f"L{layer}N{neuron}" for layer in range(3) for neuron in range(4, 24)
    ]
    first = everything.head(20)["name"].to_list()
    assert rows(NeuronsStep(prompt=PROMPT, top=20), model)["name"].to_list() == first


def test_resuming_yields_only_the_neurons_that_are_missing(llama):
    step = NeuronsStep(prompt=PROMPT, top=10)
    everything = rows(step, llama)["name"].to_list()
    assert rows(step, llama, everything[:4])["name"].to_list() == everything[4:]
    assert list(step.run(llama, everything)) == []


def test_tokens_are_those_the_contribution_raises_most(model, plainly):
    """Sign included: a neuron with a negative coefficient promotes what its value suppresses."""
    ids, _, frozen = chosen(plainly, model)
    table = rows(NeuronsStep(prompt=PROMPT, top=12), model)
    assert table["coefficient"].min() < 0 or model.info.family != "Llama"
    for row in table.to_dicts():
        added = plainly.contributions(ids, row["layer"])[row["neuron"]]
        best = plainly.direction(added, frozen).topk(10).indices
        assert row["tokens"] == [model.token(token) for token in best.tolist()]


def test_estimates_of_every_neuron_come_before_the_exact_values(model):
    step = NeuronsStep(prompt=PROMPT, top=5)
    work = step.bound(model)
    if model.parts.logit_softcap is not None:
        assert work.estimates is None
        return
    everything = rows(NeuronsStep(prompt=PROMPT, top=None), model)
    assert work.estimates is not None
    both = everything.join(work.estimates, on="name")
    assert len(both) == len(everything)
    assert step.agreement(everything, work.estimates) > 0.8
    assert (both["coefficient"] - both["coefficient_right"]).abs().max() == 0


def test_more_rows_than_neurons_are_refused(llama):
    with pytest.raises(InputError, match="--top 73 is more than the 72 neurons"):
        NeuronsStep(prompt=PROMPT, top=73).bound(llama)


@pytest.mark.parametrize("part", ["L3H0", "L0H4", "L3N0", "L0N24"])
def test_a_part_the_model_does_not_have_is_refused(llama, part):
    step = CnaStep(prompt=PROMPT, ablate=Intervention.parse(part))
    with pytest.raises(InputError, match=f"{part} is not in"):
        step.bound(llama)
