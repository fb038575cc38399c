"""The arithmetic sets: true answers, marks by a second definition, balance, no case twice."""

from __future__ import annotations

from collections import Counter

import pytest
from said import PLAIN, number_in, read

from analysis.errors import InputError
from analysis.tasks.arithmetic import (
    OPERATIONS,
    Case,
    evaluation,
    evaluation_cases,
    finetuning,
    number_words,
    operand_pairs,
)

ADD, SUB, MUL, DIV = OPERATIONS.values()


@pytest.mark.parametrize("digits", [1, 2, 3])
@pytest.mark.parametrize("shots", [0, 2])
def test_every_case_and_every_example_is_true(digits, shots):
    for case in evaluation_cases(digits, shots=shots, seed=4):
        prompt = case.prompt
        assert prompt.answer is not None
        *examples, line = (prompt.prompt + prompt.answer).split("\n")
        assert len(examples) == shots
        assert line not in examples
        for each in [*examples, line]:
            style, (a, sign, b, result) = read(each)
            assert style == case.style
            assert sign == case.operation.sign == prompt.group
            assert PLAIN[sign](a, b) == result
            assert sign != "/" or a % b == 0
        assert (a, b) == (case.a, case.b)
        assert prompt.prompt.endswith(" ") == (case.form == "numerals")
        assert prompt.answer.startswith(" ") == (case.form == "words")


def test_a_number_in_words_reads_back():
    assert [number_in(number_words(number)) for number in range(10_000)] == list(range(10_000))
    assert not any("," in number_words(number) for number in range(10_000))


@pytest.mark.parametrize(
    ("style", "form", "prompt", "answer"),
    [
        ("bare", "numerals", "15 + 32 = ", "47"),
        ("equation", "numerals", "15 plus 32 equals ", "47"),
        ("phrase", "numerals", "The sum of 15 and 32 is ", "47"),
        ("question", "numerals", "Q: What is 15 plus 32? A: ", "47"),
        ("bare", "words", "fifteen + thirty-two =", " forty-seven"),
        ("question", "words", "Q: What is fifteen plus thirty-two? A:", " forty-seven"),
    ],
)
def test_a_case_is_written_in_its_style(style, form, prompt, answer):
    case = Case(ADD, 2, style, form, 15, 32)
    assert (case.prompt.prompt, case.prompt.answer) == (prompt, answer)
    assert case.line == f"{prompt.strip()} {answer.strip()}\n"


# --- which cases there are ---


@pytest.mark.parametrize(
    ("operation", "digits", "count"),
    [
        *[(ADD, 1, 36), (SUB, 1, 36), (MUL, 1, 23), (DIV, 1, 23)],
        *[(ADD, 2, 8100), (SUB, 2, 4005), (MUL, 2, 720), (DIV, 2, 720)],
        *[(ADD, 3, 810_000), (SUB, 3, 404_550), (MUL, 3, 7200), (DIV, 3, 7200)],
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_there_are_so_many_pairs_and_none_twice(operation, digits, count):
    pairs = operand_pairs(operation, digits)
    assert len(set(pairs)) == len(pairs) == count
    for a, b in pairs[:: 1 + count // 5000]:
        result = PLAIN[operation.sign](a, b)
        assert result > 0
        if digits == 1:
            assert max(a, b, result) <= 9
            continue
        large = {"+": (a, b), "-": (a, b), "*": (a,), "/": (result,)}[operation.sign]
        assert {len(str(number)) for number in large} == {digits}
        assert operation.sign in "+-" or 2 <= b <= 9


def test_all_cells_have_equally_many_cases_and_none_twice():
    cases = evaluation_cases(2)
    cells = Counter((each.operation.name, each.style, each.form) for each in cases)
    assert len(cells) == 32
    assert set(cells.values()) == {50}
    prompts = evaluation(2).prompts
    assert prompts == tuple(each.prompt for each in cases)
    assert len({each.prompt for each in prompts}) == 1600


def test_cases_that_cannot_be_divided_leave_cells_apart_by_one():
    cells = Counter(
        (each.operation.name, each.style, each.form) for each in evaluation_cases(2, 75)
    )
    assert sorted(cells.values()) == [2] * 21 + [3] * 11


def test_a_cell_with_too_few_distinct_cases_has_each_of_them_once():
    cases = evaluation_cases(1)
    cells = Counter((each.operation.name, each.style, each.form) for each in cases)
    assert {(name, count) for (name, _, _), count in cells.items()} == {
        ("add", 36),
        ("sub", 36),
        ("mul", 23),
        ("div", 23),
    }
    assert len({each.prompt.prompt for each in cases}) == len(cases) == 944


def test_the_seed_decides_everything():
    assert evaluation(2, shots=2, seed=5) == evaluation(2, shots=2, seed=5)
    assert evaluation(2, shots=2, seed=5) != evaluation(2, shots=2, seed=6)
    assert finetuning(seed=5) == finetuning(seed=5)
    assert finetuning(seed=5) != finetuning(seed=6)


def test_a_cell_is_the_same_whichever_others_are_drawn():
    alone = evaluation_cases(2, 50, operations=["mul"], styles=["phrase"], forms=["words"])
    whole = evaluation_cases(2)
    assert alone == [
        each
        for each in whole
        if (each.operation, each.style, each.form) == (MUL, "phrase", "words")
    ]


@pytest.mark.parametrize("digits", [1, 2])
def test_the_cases_of_a_cell_share_their_examples_and_are_none_of_them(digits):
    cells: dict[tuple, list[Case]] = {}
    for case in evaluation_cases(digits, shots=8):
        cells.setdefault((case.operation.name, case.style, case.form), []).append(case)
    assert len(cells) == 32
    for cases in cells.values():
        (examples,) = {each.examples for each in cases}
        lines = examples.splitlines(keepends=True)
        assert len(set(lines)) == 8
        assert not {each.line for each in cases} & set(lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"digits": 4}, "--digits 4: choose 1, 2 or 3"),
        ({"digits": 2, "cases": 0}, "--cases 0 is out of range"),
        ({"digits": 2, "shots": 9}, "--shots 9 is out of range; choose 0 to 8"),
        ({"digits": 2, "operations": ["pow"]}, "operations pow: choose from add, sub, mul, div"),
        ({"digits": 2, "styles": ["rhyme"]}, "styles rhyme: choose from bare"),
        ({"digits": 2, "forms": []}, "forms nothing: choose from numerals, words"),
        ({"digits": 2, "forms": ["words", "words"]}, "forms words, words: .*each once"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        evaluation(**arguments)
