"""The arithmetic sets: true answers, marks by a second definition, balance, no case twice."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.arithmetic import answer_steps, evaluation, evaluation_cases, finetuning
from analysis.equations import (
    FORMS,
    OPERATIONS,
    STYLES,
    Case,
    answer_pieces,
    digit_marks,
    number_words,
    operand_pairs,
)
from analysis.errors import InputError
from analysis.prompts import Prompt, PromptSet

ADD, SUB, MUL, DIV = OPERATIONS.values()
PLAIN = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}

# --- reading what was written, by means of its own ---

UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
UNITS += " fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: value for value, word in enumerate(UNITS.split())}
VALUES |= {word: 10 * ten for ten, word in enumerate(TENS.split(), start=2)}


def number_in(text: str) -> int:
    """The number that numerals or words say."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    total = below = 0
    for word in re.split("[ -]", text.replace(" and ", " ")):
        if word == "thousand":
            total, below = total + 1000 * below, 0
        elif word == "hundred":
            below *= 100
        else:
            below += VALUES[word]
    return total + below


VERBS = "plus|minus|times|divided by"
PATTERNS = {
    "bare": r"(?P<a>.+) (?P<o>[-+*/]) (?P<b>.+) = (?P<c>.+)",
    "equation": rf"(?P<a>.+) (?P<o>{VERBS}) (?P<b>.+) equals (?P<c>.+)",
    "phrase": r"The (?P<o>sum|difference|product|quotient) of (?P<ab>.+) is (?P<c>.+)",
    "question": rf"Q: What is (?P<a>.+) (?P<o>{VERBS}) (?P<b>.+)\? A: (?P<c>.+)",
}
SAID = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
SAID |= {"sum": "+", "difference": "-", "product": "*", "quotient": "/"}


def both_numbers(text: str) -> tuple[int, int]:
    """What "a and b" says, where there is an "and" in most numbers too."""
    parts = text.split(" and ")
    for split in range(1, len(parts)):
        sides = " and ".join(parts[:split]), " and ".join(parts[split:])
        try:
            a, b = (number_in(side) for side in sides)
        except KeyError:
            continue
        if all(side in (str(n), number_words(n)) for side, n in zip(sides, (a, b), strict=True)):
            return a, b
    raise AssertionError(text)


def read(line: str) -> tuple[str, tuple[int, str, int, int]]:
    """The style of a line and what it says."""
    for style, pattern in PATTERNS.items():
        if found := re.fullmatch(pattern, line):
            said = found.groupdict()
            a, b = (
                both_numbers(said["ab"])
                if "ab" in said
                else (number_in(said["a"]), number_in(said["b"]))
            )
            return style, (a, SAID.get(said["o"], said["o"]), b, number_in(said["c"]))
    raise AssertionError(line)


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


# --- marks ---


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


# --- fine-tuning ---


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
