"""CNA over pairs, against one comparison after the other by the definition."""

from __future__ import annotations

import pytest
import torch
from tiny import few
from working import rows

from analysis.steps import CnaStep, PairsStep
from analysis.tasks.pairs import PromptPair
from analysis.tasks.prompts import Prompt


def pair(first: str, second: str, answer: str) -> PromptPair:
    return PromptPair(
        first=Prompt(prompt=first, answer=answer), second=Prompt(prompt=second, answer=answer)
    )


PAIRS = (
    pair("a woman is ", "a man is ", "one"),
    pair("a woman is ", "a man is ", "the one"),
    pair("a woman is ", "a man is ", "the"),
    pair("a man is ", "a woman is ", "two"),
    pair("two and ", "three and one ", "sum"),
)
STEP = PairsStep(pairs=PAIRS, top=None)
TOLERANCE = 2e-5


def test_importance_is_the_mean_over_pairs_by_definition(uncapped):
    model, plainly = uncapped
    importance, contrast, coefficients = [], [], []
    for each in PAIRS:
        first, second = model.encode(each.first), model.encode(each.second)
        frozen = plainly.stream(first.ids, model.info.layers)[-1]
        token = first.answer_ids[0]
        importance.append(plainly.importance(first.ids, token, frozen))
        contrast.append(plainly.importance(second.ids, token, frozen))
        coefficients.append([plainly.run(ids).coefficients for ids in (first.ids, second.ids)])
    table = rows(STEP, model).sort("layer", "neuron")
    expected = {
        "importance": torch.stack(importance).mean(0),
        "importance_contrast": torch.stack(contrast).mean(0),
        "coefficient": torch.stack([each[0] for each in coefficients]).mean(0),
        "coefficient_contrast": torch.stack([each[1] for each in coefficients]).mean(0),
    }
    for name, values in expected.items():
        assert table[name].to_list() == pytest.approx(values.flatten().tolist(), abs=TOLERANCE)
    change = table["importance"] - table["importance_contrast"]
    assert table["importance_change"].to_list() == pytest.approx(change.to_list())


@few
def test_one_pair_is_cna_of_two_prompts(model):
    (each, *_) = PAIRS
    table = rows(PairsStep(pairs=(each,), top=None), model).sort("layer", "neuron")
    cna = rows(CnaStep(prompt=each.first, against=each.second, top=None), model)
    cna = cna.sort("layer", "neuron")
    for name, dtype in table.schema.items():
        if dtype.is_float():
            assert table[name].to_list() == pytest.approx(cna[name].to_list(), abs=TOLERANCE)
        elif name != "tokens":
            assert table[name].equals(cna[name])
    live = table["coefficient"].abs() > 1e-6
    assert table["tokens"].filter(live).equals(cna["tokens"].filter(live))


def test_neurons_on_disk_are_not_scored_again(llama):
    whole = rows(STEP, llama)
    done = whole["name"].head(30).to_list()
    rest = rows(STEP, llama, done)
    assert rest["name"].to_list() == whole["name"].to_list()[30:]
    assert rest["importance_change"].to_list() == pytest.approx(
        whole["importance_change"].slice(30).to_list(), abs=1e-6
    )
    assert STEP.bound(llama).expected == whole.height == llama.info.layers * llama.info.neurons


def test_the_gap_is_told_before_the_first_row(llama, plain_llama):
    gaps = []
    for each in PAIRS:
        first, second = llama.encode(each.first), llama.encode(each.second)
        answer = first.answer_ids[:1]
        gaps.append(
            plain_llama.answered(first.ids, answer)[0] - plain_llama.answered(second.ids, answer)[0]
        )
    assert STEP.bound(llama).baseline["gap"] == pytest.approx(sum(gaps) / len(gaps), abs=1e-5)


def test_the_certified_top_is_the_top_of_all(uncapped):
    model, _ = uncapped
    everything = STEP.ranked(rows(STEP, model)).head(9)
    top = rows(STEP.model_copy(update={"top": 9}), model)
    assert top["name"].to_list() == everything["name"].to_list()
    for name in ("importance_change", "coefficient", "coefficient_contrast"):
        assert top[name].to_list() == pytest.approx(everything[name].to_list(), abs=TOLERANCE)
