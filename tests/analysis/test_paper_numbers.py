"""Bootstrap intervals, the paper's own numbers, and which cases an experiment runs on."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import bootstrap
from analysis.bootstrap import Estimate
from analysis.errors import InputError
from analysis.paper import published
from analysis.paper.registry import TABLES, tables
from analysis.paper.scale import SCALES, Scale
from analysis.tasks.prompts import Prompt, PromptSet

SHARES = st.lists(st.booleans(), min_size=1, max_size=40)


@given(SHARES, st.integers(0, 9))
def test_a_mean_lies_in_its_interval_and_says_how_many_cases(values, seed):
    found = bootstrap.mean(values, seed)
    assert found.value == pytest.approx(100 * sum(values) / len(values))
    assert found.low <= found.value <= found.high
    assert found.cases == len(values)


def test_an_interval_is_what_drawing_cases_one_by_one_gives():
    values = [1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 1]
    rng = random.Random(1)
    drawn = sorted(
        100 * sum(rng.choices(values, k=len(values))) / len(values) for _ in range(20_000)
    )
    found = bootstrap.mean(values, seed=0)
    assert found.low == pytest.approx(drawn[500], abs=3)
    assert found.high == pytest.approx(drawn[-500], abs=3)


def test_a_decrease_is_relative_and_its_cases_are_drawn_in_pairs():
    before = [1, 1, 1, 1, 0, 1]
    after = [1, 0, 0, 1, 0, 1]
    found = bootstrap.decrease(before, after, seed=0)
    assert found.value == pytest.approx(40)
    # Where each case loses the same share, no draw of pairs changes it.
    paired = bootstrap.decrease([1, 2, 3, 4], [0.5, 1, 1.5, 2], seed=0)
    assert (paired.low, paired.value, paired.high) == pytest.approx((50, 50, 50))


def test_nothing_right_to_begin_with_has_no_decrease():
    assert bootstrap.decrease([0, 0], [0, 0], seed=0) == Estimate(None, None, None, 2)
    assert bootstrap.mean([float("nan")], seed=0).value is None


def test_intervals_of_the_same_seed_are_the_same():
    values = [0, 1, 1, 0, 1]
    assert bootstrap.mean(values, 3) == bootstrap.mean(values, 3)
    assert bootstrap.pooled([[0, 1], [1, 1]]).tolist() == [0.5, 1.0]


def test_table_2_follows_from_the_accuracies_of_tables_26_and_27():
    """That is how "decrease" is known to be relative."""
    for sign, table, digits, name in (
        ("*", "T26", 1, "L20H18"),
        ("/", "T27", 1, "L14H19"),
        ("/", "T27", 2, "L14H19"),
    ):
        (_, intact), *others = published.TOP_FIVE[table][digits - 1]
        left = dict(others)[name]
        head, lost = published.BY_DIGITS[sign]
        assert head == name
        assert 100 * (1 - left / intact) == pytest.approx(lost[digits - 1], abs=0.3)


def test_every_table_has_numbers_for_every_column():
    for heads, grid in published.HEADS.values():
        assert {len(row) for row in grid.values()} == {len(heads) + 1}
    for rankings in published.TOP_FIVE.values():
        assert [len(each) for each in rankings] == [6, 6, 6]
    for grid in published.CIRCUITS.values():
        assert {len(row) for row in grid.values()} == {5}


def test_tables_are_found_by_their_ids():
    assert [each.id for each in tables("t5, T8,t5")] == ["T5", "T8"]
    assert [each.id for each in tables(None)] == list(TABLES)
    for wrong in ("T99", "T5,nine", " , "):
        with pytest.raises(InputError, match=r"no table .*; there are T1, T2"):
            tables(wrong)


def test_the_case_of_the_case_studies_is_three_and_five():
    assert Scale().case.prompt == "2 + 3 = 5\n7 + 1 = 8\n3 + 5 = "
    assert Scale().case.answer == "8"


def test_scales_hold_the_cases_they_say():
    small, full = SCALES["small"], SCALES["full"]
    assert len(small.evaluation_set) == 128
    assert len(full.evaluation_set) == 1_600
    assert small.operation("+").prompts[0].prompt == "2 + 3 = 5\n7 + 1 = 8\n1 + 1 = "
    assert [len(small.operation(sign)) for sign in "+-*/"] == [36, 36, 23, 23]
    assert [len(small.operation("-", digits)) for digits in (2, 3)] == [12, 12]
    assert len(small.together("+", "-")) == 72
    few = small.limited(3)
    assert [len(few.operation("+", digits)) for digits in (1, 2, 3)] == [3, 3, 3]
    assert len(few.evaluation_set) == 12
    with pytest.raises(InputError, match="--scale huge: choose small or full"):
        Scale.called("huge")


def own(*groups: str, marks: tuple[str, ...] = ()) -> Scale:
    prompts = tuple(
        Prompt(prompt=f"{place} {group} 1 = ", answer="2", group=group, marks=marks)
        for place, group in enumerate(groups)
    )
    return Scale(task=PromptSet(name="mine", prompts=prompts))


def test_own_cases_take_the_place_of_arithmetic():
    scale = own("+", "colour", "+")
    assert len(scale.evaluation_set) == 3
    assert scale.operations == ("+", "colour")
    assert len(scale.operation("+")) == len(scale.operation("+", digits=3)) == 2
    assert len(scale.together("+", "-")) == 2
    assert len(own("colour").together("+", "-")) == 1
    assert scale.case.prompt == "0 + 1 = "
    assert scale.digits == (1,)


def test_own_cases_that_do_not_suit_are_refused():
    with pytest.raises(InputError, match=r"the operation / is not in mine; its groups are \+"):
        own("+").together("/")
    with pytest.raises(InputError, match="no case of mine \\+ has marks"):
        own("+").marked("+")
    bare = Scale(task=PromptSet(name="bare", prompts=(Prompt(prompt="1 + 1 = "),)))
    with pytest.raises(InputError, match="case 1 of bare has no answer"):
        _ = bare.evaluation_set


def test_marked_tokens_become_cases():
    steps = own("+", marks=("memorize",)).marked("+")
    assert [(each.prompt, each.answer, each.group) for each in steps.prompts] == [
        ("0 + 1 = ", "2", "+ memorize")
    ]
    assert {each.group for each in Scale().marked("+").prompts} == {"+ memorize", "+ change-one"}
    assert np.all([each.answer for each in Scale().marked("/").prompts])
