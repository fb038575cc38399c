"""Layer gains and the logit lens, against parts really taken out and prompts really cut short."""

from __future__ import annotations

import pytest
import torch
from plainly import log_softmax
from working import rows

from analysis.methods import layers
from analysis.steps import GainsStep, LensStep
from analysis.tasks.prompts import Prompt

PROMPT = Prompt(prompt="the sum of one and 3 is ")
TOLERANCE = 1e-5


def test_a_gain_is_what_adding_the_part_adds_to_the_answer(model, plainly):
    ids = model.encode(PROMPT).ids
    token, run = plainly.greedy(ids, 1)[0], plainly.run(ids)
    frozen = run.leaving[-1]

    def logprob(x: torch.Tensor) -> float:
        return log_softmax(plainly.readout(x, frozen))[token].item()

    table = rows(GainsStep(prompt=PROMPT), model)
    assert table["name"].to_list() == ["L0", "L1", "L2"]
    for layer, row in enumerate(table.to_dicts()):
        entering, before, leaving = run.entering[layer], run.before_ffn[layer], run.leaving[layer]
        assert row["attention"] == pytest.approx(
            logprob(entering + run.attention[layer]) - logprob(entering), abs=TOLERANCE
        )
        assert row["ffn"] == pytest.approx(logprob(leaving) - logprob(before), abs=TOLERANCE)
        assert row["logprob"] == pytest.approx(logprob(leaving), abs=TOLERANCE)


def test_the_sums_over_the_layers_stand_in_the_baseline(llama):
    step = GainsStep(prompt=PROMPT)
    table, baseline = rows(step, llama), step.bound(llama).baseline
    for part in ("attention", "ffn"):
        assert baseline[part] == pytest.approx(table[part].sum())
    assert table["logprob"][-1] == pytest.approx(baseline["logprob"], abs=TOLERANCE)


def test_the_lens_reads_each_position_as_the_end_of_a_shorter_prompt(model, plainly):
    ids = model.encode(PROMPT).ids
    token, frozen = plainly.greedy(ids, 1)[0], plainly.run(ids).leaving[-1]
    table = rows(LensStep(prompt=PROMPT), model)
    assert len(table) == 3 * len(ids)
    for row in table.to_dicts():
        place, layer = row["position"], row["layer"]
        stream = plainly.stream(ids[: place + 1], layer + 1)[-1]
        chances = log_softmax(plainly.readout(stream, frozen)).exp()
        assert row["name"] == f"L{layer}@{place}"
        assert row["reads"] == model.token(ids[place])
        assert row["prob"] == pytest.approx(chances.max().item(), abs=TOLERANCE)
        assert row["answer_prob"] == pytest.approx(chances[token].item(), abs=TOLERANCE)
        best = [model.token(place) for place in chances.topk(2).indices.tolist()]
        close = (chances.topk(2).values.diff().abs() < TOLERANCE).item()
        assert row["token"] == best[0] or (close and row["token"] in best)
        larger = (chances > chances[token] + TOLERANCE).sum().item()
        smaller = (chances > chances[token] - TOLERANCE).sum().item()
        assert larger + 1 <= row["answer_rank"] <= max(smaller, larger + 1)


def test_the_last_layer_at_the_last_position_says_what_the_model_says(model, plainly):
    ids = model.encode(PROMPT).ids
    chances = log_softmax(plainly.logits(ids)).exp()
    last = rows(LensStep(prompt=PROMPT), model).row(-1, named=True)
    assert (last["layer"], last["position"]) == (2, len(ids) - 1)
    assert last["prob"] == pytest.approx(chances.max().item(), abs=TOLERANCE)
    assert last["answer_rank"] == 1


def test_positions_read_a_few_at_once_give_the_same(llama, monkeypatch):
    whole = rows(LensStep(prompt=PROMPT), llama)
    monkeypatch.setattr(layers, "POSITIONS", 5)
    assert rows(LensStep(prompt=PROMPT), llama).equals(whole)


def test_a_lens_goes_on_where_it_stopped(llama):
    step = LensStep(prompt=PROMPT)
    whole = rows(step, llama)
    rest = rows(step, llama, done=whole["name"].to_list()[:17])
    assert rest.equals(whole.slice(17))
