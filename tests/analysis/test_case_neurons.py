"""CNA over cases: exact in each, honest about what was left out, the mean of the definition."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from tiny import few
from working import rows

from analysis.interventions import Intervention
from analysis.steps import CnaCasesStep, CnaEachStep, CnaStep
from analysis.tasks.prompts import Prompt, PromptSet

CASES = PromptSet(
    name="mine",
    prompts=tuple(
        Prompt(prompt=prompt, answer=answer)
        for prompt, answer in (
            ("a woman is ", "one"),
            ("a man is ", "two"),
            ("two and ", "the"),
            ("three and one ", "sum"),
        )
    ),
)
HEAD = (1, 2)
ABLATE = (Intervention.parse("L1H2"),)
TOLERANCE = 2e-5


def over(top: int | None) -> CnaCasesStep:
    return CnaCasesStep(prompts=CASES, ablate=ABLATE, top=top)


def plain_changes(model, plainly) -> np.ndarray:
    """The change of every neuron's importance in each case [cases, L · N], by definition."""
    without, changes = plainly.without_heads(HEAD), []
    for prompt in CASES.prompts:
        encoded = model.encode(prompt)
        frozen = plainly.stream(encoded.ids, model.info.layers)[-1]
        token = encoded.answer_ids[0]
        each = plainly.importance(encoded.ids, token, frozen)
        changes.append((each - without.importance(encoded.ids, token, frozen)).flatten())
    return torch.stack(changes).double().numpy()


def test_each_case_and_the_mean_are_those_of_the_definition(uncapped):
    model, plainly = uncapped
    changes = plain_changes(model, plainly)
    table = rows(over(None), model).sort("layer", "neuron")
    found = np.stack(table["case_change"].to_list()).T
    np.testing.assert_allclose(found, changes, rtol=0, atol=TOLERANCE)
    assert table["importance_change"].to_list() == pytest.approx(changes.mean(0), abs=TOLERANCE)
    assert table["certified"].all()
    drawn = np.random.default_rng(0).integers(4, size=(2_000, 4))
    low, high = np.percentile(changes[drawn].mean(1), [2.5, 97.5], axis=0)
    assert table["low"].to_list() == pytest.approx(low, abs=TOLERANCE)
    assert table["high"].to_list() == pytest.approx(high, abs=TOLERANCE)


@few
def test_the_certified_rows_are_the_first_of_all_neurons(model):
    """And none that was left out changes by more than is said."""
    every, some = over(None), over(5)
    whole = rows(every, model)
    work = some.bound(model)
    found = pl.concat(list(work.frames(())))
    sure = found.filter("certified").height
    assert sure == work.baseline["certified_rows"]
    order = found["importance_change"].to_list()
    assert order == sorted(order, reverse=True)
    assert order[:sure] == pytest.approx(whole["importance_change"].to_list()[:sure], abs=1e-5)
    exact = found.join(whole, on="name", suffix="_whole")
    assert exact.height == 5
    for one, other in exact.select("case_change", "case_change_whole").iter_rows():
        assert one == pytest.approx(other, abs=1e-5)
    each = rows(CnaEachStep(prompts=CASES, ablate=ABLATE, top=5), model)
    others = whole.join(each, on=["layer", "neuron"], how="anti")["importance_change"].max()
    assert others <= work.baseline["left_out_at_most"] + 1e-6


def test_cases_on_disk_are_not_scored_again(llama):
    step = CnaEachStep(prompts=CASES, ablate=ABLATE, top=3)
    whole = rows(step, llama)
    assert whole["case"].to_list() == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3
    rest = rows(step, llama, whole["name"].head(6).to_list())
    assert rest["name"].to_list() == whole["name"].to_list()[6:]
    alone = rows(CnaStep(prompt=CASES.prompts[2], ablate=ABLATE[0], top=3), llama)
    assert rest["importance_change"].to_list()[:3] == alone["importance_change"].to_list()
