"""Marks of digits and words by a second definition, and answers taken apart by them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.tasks.arithmetic import (
    OPERATIONS,
    Case,
    answer_pieces,
    answer_steps,
    digit_marks,
    evaluation,
)
from analysis.tasks.prompts import Prompt, PromptSet

ADD, SUB, MUL, DIV = OPERATIONS.values()


def plain_mark(operation: str, a: int, b: int, place: int) -> str:
    """The mark of the digit at 10^place, by what the digits below it come to."""
    low = 10**place
    if operation == "+":
        changed = a % low + b % low >= low
    elif operation == "-":
        changed = a % low < b % low
    else:
        changed = place > 0
    return "change-one" if changed else "memorize"


numbers = st.integers(0, 9999)


@given(numbers, numbers)
def test_marks_of_digits_are_what_the_lower_digits_come_to(a, b):
    a, b = max(a, b), min(a, b)
    for operation in (ADD, SUB):
        marks = digit_marks(operation, a, b)
        assert len(marks) == len(str(operation.apply(a, b)))
        places = reversed(range(len(marks)))
        assert list(marks) == [plain_mark(operation.sign, a, b, place) for place in places]


@pytest.mark.parametrize(
    ("operation", "a", "b", "marks"),
    [
        (ADD, 15, 32, "m m"),
        (ADD, 15, 37, "c m"),
        (ADD, 52, 65, "c m m"),
        (ADD, 99, 99, "c c m"),
        (SUB, 52, 47, "m"),
        (SUB, 52, 17, "c m"),
        (SUB, 100, 11, "c m"),
        (MUL, 41, 2, "c m"),
        (DIV, 984, 8, "c c m"),
        (MUL, 3, 2, "m"),
    ],
)
def test_marks_by_hand(operation, a, b, marks):
    names = {"m": "memorize", "c": "change-one"}
    assert digit_marks(operation, a, b) == tuple(names[each] for each in marks.split())


def places_of_words(number: int) -> list[set[int]]:
    """Which digits each word of a number below 10,000 says, built up from the digits."""
    places: list[set[int]] = []
    thousands, hundreds, rest = number // 1000, number // 100 % 10, number % 100
    if thousands:
        places += [{3}, {3}]
    if hundreds:
        places += [{2}, {2}]
    if places and rest:
        places.append({2} if hundreds else {3})
    if 10 <= rest < 20:
        places.append({1, 0})
    elif rest or not number:
        places += [{1}] * (rest >= 20) + [{0}] * (rest % 10 > 0 or not number)
    return places


@given(st.integers(100, 999), st.integers(100, 999), st.integers(2, 9))
def test_a_word_has_the_mark_of_the_digits_it_says(a, b, factor):
    a, b = max(a, b), min(a, b)
    cases = [(ADD, a, b), (MUL, a, factor), (DIV, a * factor, factor)] + [(SUB, a, b)] * (a > b)
    for operation, first, second in cases:
        case = Case(operation, 3, "bare", "words", first, second)
        said = places_of_words(case.result)
        expected = [
            {plain_mark(operation.sign, first, second, place) for place in places}
            for places in said
        ]
        assert case.marks == tuple(
            "change-one" if "change-one" in each else "memorize" for each in expected
        )
        assert len(answer_pieces(case.prompt.answer)) == len(case.marks)


def test_words_by_hand():
    def marks(operation, a, b):
        return "".join(each[0] for each in Case(operation, 2, "bare", "words", a, b).marks)

    assert marks(ADD, 15, 37) == "cm"  # fifty two
    assert marks(ADD, 52, 65) == "cccm"  # one hundred and seventeen: its ten takes no carry
    assert marks(SUB, 31, 19) == "c"  # twelve


# --- answers taken apart ---


def test_steps_of_an_answer_stand_behind_the_pieces_before_them():
    cases = [
        Case(ADD, 2, "bare", "numerals", 15, 37),
        Case(ADD, 2, "bare", "words", 15, 37),
    ]
    steps = answer_steps(PromptSet(name="a", prompts=tuple(each.prompt for each in cases)))
    assert [(each.prompt, each.answer, each.group) for each in steps.prompts] == [
        ("15 + 37 = ", "5", "+ change-one"),
        ("15 + 37 = 5", "2", "+ memorize"),
        ("fifteen + thirty-seven =", " fifty", "+ change-one"),
        ("fifteen + thirty-seven = fifty", "-two", "+ memorize"),
    ]
    assert [each.marks for each in steps.prompts] == [("change-one",), ("memorize",)] * 2


@pytest.mark.parametrize("digits", [1, 2, 3])
def test_the_steps_of_every_case_make_up_its_answer(digits):
    prompts = evaluation(digits).prompts
    steps = iter(answer_steps(PromptSet(name="a", prompts=prompts)).prompts)
    for prompt in prompts:
        text = prompt.prompt
        for mark in prompt.marks:
            step = next(steps)
            assert step.prompt == text
            assert step.group == f"{prompt.group} {mark}"
            text += step.answer
        assert text == prompt.prompt + prompt.answer
    assert next(steps, None) is None


def test_every_operation_has_steps_of_both_kinds():
    groups = answer_steps(evaluation(2)).groups
    assert set(groups) == {
        f"{sign} {mark}" for sign in "+-*/" for mark in ("memorize", "change-one")
    }


@pytest.mark.parametrize("answer", ["47!", "4", "478", None])
def test_marks_that_do_not_fit_the_answer_are_refused(answer):
    good = Prompt(prompt="1", answer="47", marks=("memorize",) * 2)
    bad = Prompt(prompt="1", answer=answer, marks=("memorize",) * 2)
    with pytest.raises(InputError, match="case 2 of mine has 2 marks"):
        answer_steps(PromptSet(name="mine", prompts=(good, bad)))


def test_a_set_without_marks_cannot_be_taken_apart():
    with pytest.raises(InputError, match="no case of prompt has marks"):
        answer_steps(PromptSet.single("1 + 1 = ", "2"))
