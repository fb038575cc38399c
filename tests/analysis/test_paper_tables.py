"""Each experiment of the paper against a plain computation of its cells, on a tiny random model.

The cases are the model's own first choices, so that there is something right to lose; one case of
each operation is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import islice
from typing import Any

import polars as pl
import pytest
from experiments import outcome_of
from plainly import Plainly
from tiny import named, opened
from working import rows

from analysis.errors import InputError
from analysis.model.model import Model
from analysis.paper.outcome import Outcome
from analysis.paper.registry import TABLES
from analysis.paper.scale import SIGNS, Scale
from analysis.paper.table import TableStep
from analysis.refs import HeadRef
from analysis.step import Found, Step
from analysis.steps import (
    AblateStep,
    ChainStep,
    CircuitStep,
    CnaStep,
    HiddenSetsStep,
    HiddenStep,
)
from analysis.tasks.prompts import Prompt, PromptSet

CASE = named("llama grouped")
WIDE = replace(CASE, name="llama wide", config={**CASE.config, "intermediate_size": 256})
HEADS = [HeadRef(layer, head) for layer in range(3) for head in range(4)]
RIGHT = 4
"""Cases of each operation that the model answers right."""


@pytest.fixture(scope="module")
def wide() -> Model:
    """A tiny model with 99 neurons above any head, and as many others."""
    return opened(WIDE)


@pytest.fixture(scope="module")
def plain(wide: Model) -> Plainly:
    return Plainly(wide.hf, WIDE)


@pytest.fixture(scope="module")
def scale(wide: Model, plain: Plainly) -> Scale:
    """Cases with the answers the model itself would give, marked in turn."""
    prompts: list[Prompt] = []
    for sign in SIGNS:
        texts = (f"{a} {sign} {b} = " for a in range(1, 30) for b in range(1, 30))
        own = (case for text in texts if (case := own_answer(wide, plain, text, sign)))
        found = list(islice(own, RIGHT + 1))
        wrong = found[RIGHT].model_copy(update={"answer": "Q"})
        for place, case in enumerate([*found[:RIGHT], wrong]):
            marks = ("memorize",) if place % 2 else ("change-one",)
            prompts.append(case.model_copy(update={"marks": marks}))
    return Scale(task=PromptSet(name="own", prompts=tuple(prompts)), controls=3, seed=2)


def own_answer(model: Model, plain: Plainly, text: str, sign: str) -> Prompt | None:
    """The model's first choice as a case, if it is a digit or a word that reads back."""
    (token,) = plain.greedy(model.encode(Prompt(prompt=text)).ids, 1)
    answer = model.token(token)
    if not answer.isalnum() or (not answer.isdecimal() and len(answer) < 2):
        return None
    case = Prompt(prompt=text, answer=answer, group=sign)
    return case if model.encode(case).answer_ids == (token,) else None


@cache
def asked(table: str, scale: Scale, model: Model) -> tuple[list[tuple[Step, Found]], Outcome]:
    """Drive an experiment once for all tests, keeping what it asked for."""
    seen: list[tuple[Step, Found]] = []

    def answer(step: Step) -> Found:
        work = step.bound(model)
        table_rows = step.ranked(pl.concat(list(work.frames(()))))
        seen.append((step, Found(step, table_rows, work.baseline)))
        return seen[-1][1]

    return seen, outcome_of(table, scale, answer)


def cells(outcome: Outcome) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in outcome.frame().to_dicts()}


def answered(model: Model, plainly: Plainly, prompts: PromptSet) -> list[tuple[float, bool]]:
    encoded = [model.encode(each) for each in prompts.prompts]
    return [plainly.answered(each.ids, each.answer_ids) for each in encoded]


def accuracy(outcomes: list[tuple[float, bool]]) -> float:
    return 100 * sum(right for _, right in outcomes) / len(outcomes)


def lost(before: list[tuple[float, bool]], after: list[tuple[float, bool]]) -> float:
    first, second = (sum(right for _, right in each) for each in (before, after))
    return 100 * (1 - second / first)


def worst_first(model: Model, plainly: Plainly, prompts: PromptSet) -> list[HeadRef]:
    """Heads by what is left without them: accuracy, then log-probability."""
    left = {}
    for ref in HEADS:
        outcomes = answered(model, plainly.without_heads((ref.layer, ref.index)), prompts)
        left[ref] = (accuracy(outcomes), sum(logprob for logprob, _ in outcomes))
    return sorted(HEADS, key=lambda ref: left[ref])


def without(plainly: Plainly, head: HeadRef) -> Plainly:
    return plainly.without_heads((head.layer, head.index))


@pytest.mark.parametrize("table", ["T1", "T18"])
def test_accuracy_without_the_top_heads(table, wide, plain, scale):
    _, outcome = asked(table, scale, wide)
    found = cells(outcome)
    top = worst_first(wide, plain, scale.task)[:5]
    assert [found[f"all · {place}"]["text"] for place in ("1st", "2nd", "3rd", "4th", "5th")] == [
        str(ref) for ref in top
    ]
    for group, name in (("+", "+"), ("-", "−"), ("*", "×"), ("/", "÷")):
        prompts = scale.operation(group)
        assert found[f"{name} · intact"]["measured"] == pytest.approx(80)
        edited = answered(wide, without(plain, top[0]), prompts)
        assert found[f"{name} · 1st"]["measured"] == pytest.approx(accuracy(edited))
        assert found[f"{name} · 1st"]["cases"] == len(prompts)
    assert outcome.claim.verdict in ("held", "failed")


def test_the_top_head_of_each_operation(wide, plain, scale):
    _, outcome = asked("T2", scale, wide)
    found = cells(outcome)
    for group, name in (("+", "+"), ("/", "÷")):
        prompts = scale.operation(group)
        head = worst_first(wide, plain, prompts)[0]
        before = answered(wide, plain, prompts)
        after = answered(wide, without(plain, head), prompts)
        cell = found[f"{name} · 1D"]
        assert cell["text"].startswith(f"{head};")
        assert cell["measured"] == pytest.approx(lost(before, after))
        assert cell["low"] <= cell["measured"] <= cell["high"]
    assert outcome.claim.verdict == "undecided"  # own cases have one length


@pytest.mark.parametrize(("table", "sign"), [("T24", "+"), ("T27", "/")])
def test_the_top_five_of_an_operation(table, sign, wide, plain, scale):
    _, outcome = asked(table, scale, wide)
    top = worst_first(wide, plain, scale.operation(sign))[:5]
    assert [cell.text for cell in outcome.cells[1:]] == [str(ref) for ref in top]
    assert outcome.cells[0].measured.value == pytest.approx(80)


def test_memorize_and_change_one_tokens(wide, plain, scale):
    seen, outcome = asked("T3", scale, wide)
    found = cells(outcome)
    for group, name in (("-", "−"), ("*", "×")):
        head = worst_first(wide, plain, scale.operation(group))[0]
        steps = scale.marked(group)
        before = answered(wide, plain, steps)
        after = answered(wide, without(plain, head), steps)
        for mark in ("memorize", "change-one"):
            here = [place for place, each in enumerate(steps.prompts) if mark in each.group]
            wanted = lost([before[i] for i in here], [after[i] for i in here])
            assert found[f"{name} · {mark}"]["measured"] == pytest.approx(wanted)
    sets = [step.sets for step, _ in seen if isinstance(step, AblateStep)]
    assert all(len(each) == 1 + scale.controls for each in sets)
    assert all(len({one.names for one in each}) == len(each) for each in sets)


@pytest.mark.parametrize("table", ["T5", "T15"])
def test_masked_and_kept_neurons(table, wide, scale):
    seen, outcome = asked(table, scale, wide)
    (step, found), *_ = [each for each in seen if isinstance(each[0], CircuitStep)]
    shown = cells(outcome)
    for top in (99, 10):
        here = found.rows.filter(pl.col("top") == top).to_dicts()
        right = sum(row["intact_correct"] for row in here)
        for name in ("mask", "keep"):
            for kind, column in (("", "measured"), ("_random", "control")):
                left = sum(row[f"{name}{kind}_correct"] for row in here)
                assert shown[f"{name} · top {top}"][column] == pytest.approx(
                    100 * (1 - left / right)
                )
        share = sum(row["coefficient_decrease"] for row in here) / len(here)
        assert shown[f"coefficient · top {top}"]["measured"] == pytest.approx(100 * share)
    groups = {"T5": ("+", "-"), "T15": ("/",)}[table]
    assert {each.group for each in step.prompts.prompts} == set(groups)


@pytest.mark.parametrize("table", ["T6", "T16", "T20"])
def test_without_the_lowest_neuron(table, wide, scale):
    seen, outcome = asked(table, scale, wide)
    (_, found), *_ = [each for each in seen if isinstance(each[0], CircuitStep)]
    for top, cell in zip((99, 50, 30, 20, 10), outcome.cells, strict=True):
        here = found.rows.filter(pl.col("top") == top)
        assert cell.measured.value == pytest.approx(100 * here["lowest_decrease"].mean())
        assert cell.control.value == pytest.approx(100 * here["lowest_random_decrease"].mean())


def test_the_head_of_several_operations_costs_most_over_all_of_them(wide, plain, scale):
    seen, _ = asked("T5", scale, wide)
    (step,) = [step for step, _ in seen if isinstance(step, CircuitStep)]
    left = {
        ref: sum(
            accuracy(answered(wide, without(plain, ref), scale.operation(sign))) for sign in "+-"
        )
        for ref in HEADS
    }
    assert left[step.head] == pytest.approx(min(left.values()))


def test_the_case_study_is_the_comparison_of_its_case(wide, scale):
    seen, outcome = asked("T4", scale, wide)
    cna = [(step, found) for step, found in seen if isinstance(step, CnaStep)]
    (step, found), (other, control) = cna
    assert step.prompt == other.prompt == scale.case
    assert step.ablate != other.ablate
    shown = cells(outcome)
    first, stand_in = found.rows.row(0, named=True), control.rows.row(0, named=True)
    assert shown["1st · importance"]["measured"] == first["importance"]
    assert shown["1st · coefficient, head zeroed"]["measured"] == first["coefficient_contrast"]
    assert shown["1st · importance change"]["control"] == stand_in["importance_change"]
    assert shown["1st · importance"]["text"].startswith(first["name"])


@pytest.mark.parametrize("table", ["T8", "T17"])
def test_hidden_sets_and_their_random_controls(table, wide, plain, scale):
    seen, outcome = asked(table, scale, wide)
    (hidden,) = [found.rows for step, found in seen if isinstance(step, HiddenStep)]
    ((step, found),) = [each for each in seen if isinstance(each[0], HiddenSetsStep)]
    shown = cells(outcome)
    before = answered(wide, plain, step.prompts)
    for least in (0, 1, 2):
        members = hidden.filter(pl.col("concepts") >= least)
        assert shown[f"neurons · M = {least}"]["measured"] == members.height
        if not members.height:
            continue
        neurons = list(members[["layer", "neuron"]].iter_rows())
        after = answered(wide, plain.without_neurons(*neurons), step.prompts)
        cell = shown[f"accuracy decrease · M = {least}"]
        assert cell["measured"] == pytest.approx(lost(before, after))
        drawn = found.rows.filter((pl.col("least") == least) & pl.col("draw").is_not_null())
        assert drawn.height == (scale.controls if members.height < hidden.height else 0)
        if drawn.height:
            left = drawn["accuracy"].mean() / found.baseline["accuracy"]
            assert cell["control"] == pytest.approx(100 * (1 - left))


@pytest.mark.parametrize("table", ["T7", "F1"])
def test_tables_of_the_chain_show_its_nodes(table, wide, scale):
    seen, outcome = asked(table, scale, wide)
    (found,) = [found for step, found in seen if isinstance(step, ChainStep)]
    texts = " ".join(f"{cell.row} {cell.text}" for cell in outcome.cells)
    shallow = found.rows.filter(pl.col("stage") == 1)["name"].to_list()
    assert all(name in texts for name in shallow)
    if table == "F1":
        assert outcome.cells[-1].measured.value == pytest.approx(found.baseline["prob"])
        head = found.rows.filter(pl.col("stage") == 3).row(0, named=True)
        assert outcome.cells[2].measured.value == pytest.approx(head["prob_without"])
        assert found.baseline["head"] == head["name"] == outcome.cells[2].text


def test_a_table_is_a_step_of_its_own(wide, scale):
    step = TableStep(table="T2", scale=scale)
    _, outcome = asked("T2", scale, wide)
    assert rows(step, wide).equals(outcome.frame())
    assert step.bound(wide).baseline == outcome.facts()
    assert list(step.run(wide, done=["anything"])) == []


def test_the_same_scale_gives_the_same_table(wide, scale):
    (_, again) = asked.__wrapped__("T5", scale, wide)
    assert again == asked("T5", scale, wide)[1]


def test_every_table_says_what_held(wide, scale):
    # T19 to T21 want two-digit subtraction, which own cases have as one more group.
    for name in TABLES:
        _, outcome = asked(name, scale, wide)
        assert outcome.claim.verdict in ("held", "failed", "undecided")
        assert outcome.claim.claim
        assert outcome.claim.finding
        assert outcome.frame().height
        assert outcome.frame()["name"].is_unique().all()


def test_models_with_too_few_neurons_and_tasks_without_an_operation_are_refused(wide, scale):
    with pytest.raises(InputError, match="99 neurons are more than the"):
        asked("T5", scale, opened(CASE))
    only = scale.model_copy(
        update={"task": scale.task.model_copy(update={"prompts": scale.task.prompts[:3]})}
    )
    with pytest.raises(InputError, match=r"the operation / is not in own; its groups are \+"):
        asked("T15", only, wide)
    with pytest.raises(InputError, match="no table 'T99'"):
        TableStep.of(table="T99", scale=scale)
