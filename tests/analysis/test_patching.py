"""Patching against a plain second computation: hooks, and one whole forward a patch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from plain_parts import columns, seen, values
from plainly import Plainly
from torch import Tensor
from working import rows

from analysis.errors import InputError
from analysis.model.branching import Base
from analysis.model.pairs import encode_pair
from analysis.steps import PatchStep
from analysis.tasks.prompts import Prompt, PromptSet

if TYPE_CHECKING:
    from analysis.model.model import Model

PAIR = Prompt(prompt="one and abc", corrupt="one and xyz", answer=("b", "e"), wrong=("a", "n"))
OTHER = Prompt(prompt="Q is abcde", corrupt="R is abcdf", answer="h", wrong="9")
NEAR = PAIR.model_copy(update={"prompt": "one and pqr", "corrupt": "two and pqr"})
"""As long as the first."""
EXACT = 1e-4


def set_of(*cases: Prompt) -> PromptSet:
    return PromptSet(name="mine", prompts=cases)


def difference(logits: Tensor, encoded) -> float:
    return float(logits[list(encoded.first)].mean() - logits[list(encoded.wrong)].mean())


class Second:
    """One case the plain way."""

    def __init__(
        self, plain: Plainly, model: Model, case: Prompt, unit: str, noising: bool
    ) -> None:
        self.plain, self.unit = plain, unit
        self.encoded, corrupt = encode_pair(model, case)
        runs = [corrupt.ids, self.encoded.ids]
        self.base, source = reversed(runs) if noising else runs
        self.source = values(plain, unit, source)
        self.before, self.whole = (
            difference(plain._logits(each), self.encoded) for each in (self.base, source)
        )

    def patched(self, row: dict) -> float:
        position = row["position"]
        where = slice(None) if position is None else slice(position, position + 1)
        own = columns(self.plain, self.unit, row.get(self.unit))
        new = self.source[row["layer"]]

        def put(x: Tensor) -> Tensor:
            x[where, own] = new[where, own]
            return x

        with seen(self.plain, self.unit, row["layer"], put):
            return difference(self.plain._logits(self.base), self.encoded)


def check(model: Model, plain: Plainly, step: PatchStep) -> pl.DataFrame:
    found = rows(step, model)
    cases = [Second(plain, model, case, step.unit, step.noising) for case in step.prompts.prompts]
    whole = sum(each.whole - each.before for each in cases)
    for row in found.iter_rows(named=True):
        metrics = [each.patched(row) for each in cases]
        assert row["case_metric"] == pytest.approx(metrics, abs=EXACT), row["name"]
        share = sum(m - each.before for m, each in zip(metrics, cases, strict=True)) / whole
        assert row["recovered"] == pytest.approx(share, abs=EXACT), row["name"]
    return found


@pytest.mark.parametrize("unit", ["residual", "attention", "ffn", "head", "neuron"])
def test_each_unit_of_every_family_is_patched_exactly(model, plainly, unit):
    where = {"residual": "each", "attention": (-3, -1), "ffn": (4, 6)}.get(unit)
    count = {"neuron": 2, "head": 12}.get(unit, 3 * 2)
    step = PatchStep(prompts=set_of(PAIR), unit=unit, positions=where, top=2)
    found = check(model, plainly, step)
    tokens = len(model.encode(PAIR).ids)
    assert found.height == (3 * tokens if unit == "residual" else count)


@pytest.mark.parametrize("unit", ["residual", "attention", "ffn", "head", "neuron"])
@pytest.mark.parametrize("noising", [False, True])
@pytest.mark.parametrize("positions", ["each", "all"])
def test_several_cases_both_ways_at_each_position_and_at_all(
    llama, plain_llama, unit, noising, positions
):
    cases = set_of(PAIR, OTHER) if positions == "all" else set_of(PAIR, NEAR)
    step = PatchStep(prompts=cases, unit=unit, positions=positions, noising=noising, top=5)
    work = step.bound(llama)
    assert work.baseline["runs_from"] == "the patched layer and position"
    found = check(llama, plain_llama, step)
    assert set(work.estimates["name"]) == set(found["name"])
    assert found.height == work.expected


def test_a_model_that_cannot_carry_keys_gives_the_same_and_says_so(llama, monkeypatch):
    step = PatchStep(prompts=set_of(PAIR, OTHER), unit="ffn", positions=(-2, -1))
    found = rows(step, llama).sort("name")
    monkeypatch.setattr(Base, "carries", False)
    work = step.bound(llama)
    assert "cannot carry keys" in work.baseline["runs_from"]
    slow = pl.concat(work.frames(())).sort("name")
    assert slow["recovered"].to_list() == pytest.approx(found["recovered"].to_list(), abs=EXACT)


def test_an_estimate_is_the_slope_of_its_patch(llama, plain_llama):
    step = PatchStep(prompts=set_of(PAIR), unit="attention")
    estimates = step.bound(llama).estimates
    second = Second(plain_llama, llama, PAIR, "attention", noising=False)
    base = values(plain_llama, "attention", second.base)
    second.source = [old + 1e-2 * (new - old) for old, new in zip(base, second.source, strict=True)]
    for row in estimates.iter_rows(named=True):
        slope = (second.patched(row) - second.before) / 1e-2 / (second.whole - second.before)
        assert row["recovered"] == pytest.approx(slope, abs=2e-2), row["name"]


def test_a_patch_that_is_there_is_not_computed_again(llama):
    step = PatchStep(prompts=set_of(PAIR), unit="head")
    found = rows(step, llama)
    done = found["name"].to_list()[:5]
    assert set(rows(step, llama, done)["name"]) == set(found["name"]) - set(done)
    assert rows(step, llama, found["name"].to_list()[:-1]).height == 1


@pytest.mark.parametrize("metric", ["logprob", "accuracy"])
def test_other_metrics_are_of_the_whole_answer(llama, plain_llama, metric):
    says = Prompt(
        prompt="one and abc", corrupt="two and xyz", answer="ab" if metric != "accuracy" else None
    )
    encoded, corrupt = encode_pair(llama, says)
    step = PatchStep(prompts=set_of(says), unit="head", metric=metric, heads=("L1H1",))
    work = step.bound(llama)
    for side, ids in (("clean", encoded.ids), ("corrupt", corrupt.ids)):
        logprob, right = plain_llama.answered(ids, encoded.answer_ids)
        wanted = logprob if metric == "logprob" else float(right)
        assert work.baseline[side] == pytest.approx(wanted, abs=EXACT)
    (row,) = pl.concat(work.frames(())).rows(named=True)
    assert (work.estimates is None) == (metric == "accuracy")
    assert row["name"] == "L1H1"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"positions": (9,)}, "position 9 is beyond a prompt of 7 tokens, which are 0 to 6"),
        ({"metric": "logit_difference", "prompts": set_of(PAIR.model_copy(update={"wrong": None}))},
         "the case has no wrong answer to measure a logit difference by"),
        ({"unit": "head", "heads": ("L9H1",)}, "L9H1"),
        ({"prompts": set_of(PAIR, Prompt(prompt="a", answer="b"))}, "case 2 of mine has no wrong"),
        ({"prompts": set_of(PAIR, Prompt(prompt="a", answer="b", wrong="c"))},
         "case 2 of mine: there is no corrupt prompt"),
        ({"prompts": set_of(PAIR, OTHER), "positions": "each"}, "the prompts have 7 to "),
        ({"prompts": set_of(PAIR.model_copy(update={"answer": "k"})),
          "metric": "prob"}, "does not differ enough between its two prompts"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_patched_is_refused_in_one_line(llama, given, reason):
    step = PatchStep.of(**{"prompts": set_of(PAIR)} | given)
    with pytest.raises(InputError, match=reason):
        step.bound(llama)


def test_a_case_whose_runs_are_alike_is_left_out_and_named(llama):
    alike = PAIR.model_copy(update={"prompt": "one and abb", "corrupt": "one and abf"})
    work = PatchStep(prompts=set_of(alike, PAIR), unit="head").bound(llama)
    assert work.baseline["left_out"] == ["case 1 of mine: the metric differs by 0.00606"]
    assert (work.baseline["cases"], work.baseline["case_numbers"]) == (1, [1])
    alone = rows(PatchStep(prompts=set_of(PAIR), unit="head"), llama)
    both = pl.concat(work.frames(()))
    assert both["recovered"].to_list() == pytest.approx(alone["recovered"].to_list(), abs=1e-6)


def test_values_of_cases_stand_in_the_order_of_the_set_whatever_their_lengths(llama):
    def measured(*cases: Prompt) -> list[list[float]]:
        step = PatchStep(prompts=set_of(*cases), unit="head")
        return rows(step, llama).sort("name")["case_metric"].to_list()

    alone = zip(*(measured(each) for each in (PAIR, OTHER, NEAR)), strict=True)
    for together, each in zip(measured(PAIR, OTHER, NEAR), alone, strict=True):
        assert together == pytest.approx([value for (value,) in each], abs=EXACT)


def test_heads_that_are_named_are_all_that_is_patched(llama):
    step = PatchStep(prompts=set_of(PAIR), unit="head", heads=("L2H1", "L0H0"), positions=(-1,))
    assert set(rows(step, llama)["name"]) == {"L2H1@6", "L0H0@6"}
    with pytest.raises(InputError, match="heads are named, but the unit is residual"):
        PatchStep.of(prompts=set_of(PAIR), heads=("L0H0",))
