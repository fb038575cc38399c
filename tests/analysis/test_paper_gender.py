"""Tables 12, 13, 22 and 23 against sums over the evaluation's own cases."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from experiments import outcome_of
from tiny import named, opened

from analysis.paper.scale import Scale
from analysis.step import Found
from analysis.steps import EvaluateStep, PairsStep
from analysis.tasks.pairs import PROFESSIONS, TEMPLATES, gender_pairs

SCALE = Scale(controls=2, seed=1)


@pytest.fixture(scope="module")
def steps():
    """What the experiments asked for, each computed once."""
    return {}


def measured(table, steps):
    model = opened(named("llama grouped"))

    def answer(step):
        key = step.model_dump_json()
        if key not in steps:
            work = step.bound(model)
            rows = step.ranked(pl.concat(list(work.frames(()))))
            steps[key] = Found(step, rows, work.baseline)
        return steps[key]

    return outcome_of(table, SCALE, answer)


def cells(outcome):
    return {row["name"]: row for row in outcome.frame().to_dicts()}


def evaluation(steps):
    (found,) = (each for each in steps.values() if isinstance(each.step, EvaluateStep))
    return found.rows.row(0, named=True)


def test_the_edit_of_table_13_is_measured_on_all_pairs(steps):
    outcome = measured("T13", steps)
    found, gaps = cells(outcome), evaluation(steps)
    woman = np.asarray([pair.bias == "woman" for pair in gender_pairs()])
    for row, column in (("origin", "before"), ("edited", "after")):
        values = np.asarray(gaps[f"case_{column}"])
        assert found[f"{row} · total bias"]["measured"] == pytest.approx(values.mean())
        assert found[f"{row} · woman bias"]["measured"] == pytest.approx(values[woman].mean())
        assert found[f"{row} · man bias"]["measured"] == pytest.approx(values[~woman].mean())
    assert found["edited · total bias"]["control"] == pytest.approx(np.mean(gaps["case_control"]))
    assert (found["origin · total bias"]["paper"], found["edited · man bias"]["paper"]) == (
        1.26,
        0.59,
    )
    assert found["edited · perplexity"]["measured"] > 1
    (pairs,) = (each for each in steps.values() if isinstance(each.step, PairsStep))
    (edit,) = next(e for e in steps.values() if isinstance(e.step, EvaluateStep)).step.edit
    assert [str(each) for each in edit.neurons] == pairs.rows["name"].head(18).to_list()
    assert outcome.claim.verdict in ("held", "failed", "undecided")


def test_gaps_by_prompt_and_profession_are_shares_of_the_same_evaluation(steps):
    for table, key, names in (
        ("T22", "template", TEMPLATES),
        ("T23", "profession", [each for some in PROFESSIONS.values() for each in some]),
    ):
        found = cells(measured(table, steps))
        belongs = np.asarray([pair.details[key] for pair in gender_pairs()])
        gaps = evaluation(steps)
        for name in names:
            for column, of in (("gap", "before"), ("gap, edited", "after")):
                value = np.asarray(gaps[f"case_{of}"])[belongs == name].mean()
                assert found[f"{name} · {column}"]["measured"] == pytest.approx(value)
    assert len(steps) == 2


def test_the_neurons_of_table_12_are_those_of_a_woman_s_professions(steps):
    outcome = measured("T12", {})
    found = cells(outcome)
    assert len(found) == 15
    first = next(iter(found.values()))
    assert first["row"].startswith("L")
    assert first["paper"] == 6.48
    assert outcome.claim.verdict in ("held", "failed")
