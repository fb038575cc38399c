"""Cases to fine-tune on: the paper's sizes, true answers, none in both sets."""

from __future__ import annotations

from collections import Counter

import pytest
from said import PLAIN, read

from analysis.errors import InputError
from analysis.tasks.arithmetic import FORMS, STYLES, evaluation_cases, finetuning
from analysis.tasks.prompts import Prompt


def equation(prompt: Prompt) -> tuple[int, str, int, int]:
    """What a case says, in whatever style."""
    return read(prompt.prompt + prompt.answer)[1]


@pytest.fixture(scope="module")
def tuning():
    return finetuning()


def test_the_sets_have_the_sizes_of_the_paper_and_true_answers(tuning):
    assert [len(each) for each in tuning] == [18_000, 2_000]
    for prompts in tuning:
        assert len({each.prompt for each in prompts.prompts}) == len(prompts)
        for each in prompts.prompts:
            a, sign, b, result = equation(each)
            assert PLAIN[sign](a, b) == result
            assert sign == each.group


def test_no_equation_to_test_on_is_trained_on_in_any_style(tuning):
    train, test = ({equation(each) for each in prompts.prompts} for prompts in tuning)
    assert not train & test


def test_subtraction_may_come_out_negative(tuning):
    for prompts in tuning:
        results = [int(each.answer) for each in prompts.prompts if each.group == "-"]
        negative = sum(result < 0 for result in results)
        assert 0.4 < negative / len(results) < 0.6
        assert all(int(each.answer) > 0 for each in prompts.prompts if each.group != "-")
        assert all(bool(each.marks) == (int(each.answer) > 0) for each in prompts.prompts)


def test_operations_share_the_sets_as_far_as_they_have_cases(tuning):
    train, test = (Counter(each.group for each in prompts.prompts) for prompts in tuning)
    assert test == {"+": 500, "-": 500, "*": 500, "/": 500}
    # × and ÷ have 720 equations in four styles each; 125 of them are kept to test on.
    assert train == {"+": 6620, "-": 6620, "*": 4 * 595, "/": 4 * 595}


def test_one_style_alone_can_be_tuned_on():
    train, test = finetuning(2, train=1000, test=100, styles=["bare"])
    assert {each.prompt[-3:] for each in (*train.prompts, *test.prompts)} == {" = "}
    assert (len(train), len(test)) == (1000, 100)


def test_more_cases_than_there_are_are_refused_with_their_number():
    # 36 + 2 · 36 + 23 + 23 equations
    train, test = finetuning(1, train=500, test=100)
    assert len({each.prompt for each in (*train.prompts, *test.prompts)}) == 600
    with pytest.raises(InputError, match="there are 616 distinct cases"):
        finetuning(1)
    with pytest.raises(InputError, match="there are 17,550 distinct cases"):
        finetuning(2, styles=["bare"])


@pytest.mark.parametrize(
    "arguments", [{"digits": 0}, {"train": 0}, {"test": -1}, {"styles": ["bare", "bare"]}]
)
def test_sets_that_make_no_sense_are_refused(arguments):
    with pytest.raises(InputError):
        finetuning(**arguments)


def test_all_styles_and_forms_are_in_the_set():
    cases = evaluation_cases(3, 64)
    assert {each.style for each in cases} == set(STYLES)
    assert {each.form for each in cases} == set(FORMS)
