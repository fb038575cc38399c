"""Figure 2 and Tables 9 to 11 against their steps' own rows, on a random model of eight layers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from experiments import outcome_of
from tiny import named, opened

from analysis.model.model import Model
from analysis.paper.outcome import Outcome
from analysis.paper.scale import LoraScale, Scale
from analysis.paper.tuning import chosen_layers, group_of
from analysis.step import Found, Step
from analysis.steps import LoraStep, NeuronsStep, PruneStep

CASE = named("llama grouped")
DEEP = replace(CASE, name="llama deep", config={**CASE.config, "num_hidden_layers": 8})
SCALE = Scale(
    lora=LoraScale(
        layers=4,
        train=20,
        test=12,
        rates=(5e-3,),
        epochs=1,
        compared=2,
        top=20,
        found_on=2,
    )
)


@pytest.fixture(scope="module")
def deep() -> Model:
    return opened(DEEP)


@pytest.fixture(scope="module")
def measured(deep: Model) -> dict[str, tuple[dict[str, Found], Outcome]]:
    """Each table with what it asked for; steps of equal parameters are run once."""
    known: list[Found] = []
    outcomes = {}
    for table in ("F2", "T9", "T10", "T11"):
        asked = {}

        def answer(step: Step, asked: dict[str, Found] = asked) -> Found:
            found = next((each for each in known if each.step == step), None)
            if found is None:
                found = ran(step, deep)
                known.append(found)
            asked[step.kind] = found
            return found

        outcomes[table] = asked, outcome_of(table, SCALE, answer)
    assert [each.step.kind for each in known] == ["gains", "neurons", "lora", "prune"]
    return outcomes


def ran(step: Step, model: Model) -> Found:
    work = step.bound(model)
    return Found(step, step.ranked(pl.concat(list(work.frames(())))), work.baseline)


def cells(outcome: Outcome) -> dict[tuple[str, str], float | None]:
    return {
        (cell.row, cell.column): cell.measured and cell.measured.value for cell in outcome.cells
    }


def test_accuracy_stands_layer_by_layer_beside_the_original(measured):
    asked, outcome = measured["F2"]
    found = asked["lora"]
    shown = cells(outcome)
    finished = LoraStep.finished(found.rows)
    assert found.step.layers == (1, 3, 4, 6)
    assert shown["original", "accuracy"] == pytest.approx(100 * found.baseline["accuracy"])
    for row in finished.to_dicts():
        assert shown[row["name"], "accuracy"] == pytest.approx(100 * row["accuracy"])
    assert outcome.cells[0].paper == 62.96


def test_important_neurons_keep_the_sign_they_have_in_the_original(measured):
    asked, outcome = measured["T9"]
    ranked = asked["neurons"].rows.to_dicts()
    neurons = [row["name"] for row in ranked if row["layer"] >= 4][:3]
    assert isinstance(asked["neurons"].step, NeuronsStep)
    shown = cells(outcome)
    for row in LoraStep.finished(asked["lora"].rows).to_dicts():
        for place, name in enumerate(neurons):
            before, after = (
                row[each][place] for each in ("watched_original", "watched_coefficient")
            )
            assert shown[name, "original"] == pytest.approx(abs(before))
            assert shown[name, f"LoRA L{row['layer']}"] == pytest.approx(after * np.sign(before))


def test_increases_are_means_over_a_groups_layers_and_the_cases(measured):
    asked, outcome = measured["T10"]
    shown = cells(outcome)
    rows = LoraStep.finished(asked["lora"].rows).to_dicts()
    for group in ("shallow", "middle", "deep"):
        own = [row for row in rows if group_of(row["layer"], 8) == group]
        assert len(own) == (2 if group == "deep" else 1)
        for top in (50, 30, 20, 10):
            expected = 100 * np.mean([row[f"increase_{top}"] for row in own])
            assert shown[group, f"top {top}"] == pytest.approx(expected)
    for top in (50, 30, 20, 10):
        for row in rows:  # no draw, no number: few neurons leave some cases without
            values = row[f"case_increase_{top}_random"]
            for names, value in zip(row[f"drawn_{top}"], values, strict=True):
                assert len(set(filter(None, names.split(",")))) == (0 if value is None else top)
                assert value is not None or "no random control" in row["control_note"]
    control = outcome.cells[0].control
    assert control is not None
    assert control.value == pytest.approx(100 * rows[0]["increase_50_random"])
    assert outcome.cells[0].paper == 42


def test_the_pruned_model_stands_beside_the_whole_and_the_random_one(measured):
    asked, outcome = measured["T11"]
    found = asked["prune"]
    step = found.step
    assert isinstance(step, PruneStep)
    assert (step.layer, step.from_layer) == (2, 4)
    shown = cells(outcome)
    for row in step.finished(found.rows).to_dicts():
        if row["name"] != "pruned, compact":
            assert shown[row["name"], "accuracy"] == pytest.approx(100 * row["accuracy"])
    kept = found.rows.filter(pl.col("name") == "pruned")["kept"][0]
    assert shown["deep neurons kept", "share"] == pytest.approx(100 * kept)
    paper = {cell.row: cell.paper for cell in outcome.cells}
    assert paper["pruned + LoRA"] == 82.3
    assert paper["random + LoRA"] == 17.1


def test_layers_are_grouped_as_in_the_paper():
    groups = [group_of(layer, 32) for layer in range(32)]
    assert groups == [None] + ["shallow"] * 9 + ["middle"] * 7 + ["deep"] * 14 + [None]
    assert chosen_layers(30, 6) == (1, 6, 12, 17, 23, 28)
    assert chosen_layers(30, None) == tuple(range(30))
    assert {group_of(layer, 30) for layer in chosen_layers(30, 6)} == {"shallow", "middle", "deep"}
