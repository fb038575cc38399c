"""The arithmetic sets of the paper: to evaluate, to take answers apart, to fine-tune."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from random import Random
from typing import Literal, get_args

from analysis.errors import InputError
from analysis.tasks.prompts import Mark, Prompt, PromptSet

Style = Literal["bare", "equation", "phrase", "question"]
Form = Literal["numerals", "words"]
STYLES: tuple[Style, ...] = get_args(Style)
FORMS: tuple[Form, ...] = get_args(Form)
DIGITS = (1, 2, 3)

_QUESTIONS: dict[Style, str] = {
    "bare": "{a} {sign} {b} =",
    "equation": "{a} {verb} {b} equals",
    "phrase": "The {noun} of {a} and {b} is",
    "question": "Q: What is {a} {verb} {b}? A:",
}
_SCALES = {"hundred": 2, "thousand": 3}


@dataclass(frozen=True)
class Operation:
    """One of the four, with the words people say it in."""

    name: str
    sign: str
    """As prompts write it and groups are called."""
    verb: str
    noun: str
    apply: Callable[[int, int], int]
    """Exact on the pairs that make a case: quotients leave no remainder."""


OPERATIONS = {
    each.name: each
    for each in (
        Operation("add", "+", "plus", "sum", lambda a, b: a + b),
        Operation("sub", "-", "minus", "difference", lambda a, b: a - b),
        Operation("mul", "*", "times", "product", lambda a, b: a * b),
        Operation("div", "/", "divided by", "quotient", lambda a, b: a // b),
    )
}


@dataclass(frozen=True)
class Case:
    """One equation as one prompt says it."""

    operation: Operation
    digits: int
    style: Style
    form: Form
    a: int
    b: int
    examples: str = ""
    """Worked examples that stand in front, each a line."""

    @property
    def result(self) -> int:
        """What is right."""
        return self.operation.apply(self.a, self.b)

    @property
    def line(self) -> str:
        """The equation worked out, as a line of its own."""
        return f"{self._question} {self._said(self.result)}\n"

    @property
    def prompt(self) -> Prompt:
        """The prompt with its answer and marks.

        Tokenizers hold a word together with the space before it, but keep digits apart from it: so
        a prompt of numerals ends in the space, and the answer in words begins with it.
        """
        text, answer = self.examples + self._question, self._said(self.result)
        space = (" ", "") if self.form == "numerals" else ("", " ")
        return Prompt(
            prompt=text + space[0],
            answer=space[1] + answer,
            group=self.operation.sign,
            marks=self.marks,
        )

    @property
    def marks(self) -> tuple[Mark, ...]:
        """One for each digit of the answer, or each of its words; none if it is negative."""
        if self.result < 0:
            return ()
        digits = digit_marks(self.operation, self.a, self.b)
        return digits if self.form == "numerals" else word_marks(self.result, digits)

    @property
    def details(self) -> dict[str, str | int]:
        """What the case is made of, in plain values."""
        return {
            "operation": self.operation.name,
            "digits": self.digits,
            "style": self.style,
            "form": self.form,
            "a": self.a,
            "b": self.b,
        }

    @property
    def _question(self) -> str:
        return _QUESTIONS[self.style].format(
            a=self._said(self.a),
            b=self._said(self.b),
            sign=self.operation.sign,
            verb=self.operation.verb,
            noun=self.operation.noun,
        )

    def _said(self, number: int) -> str:
        return str(number) if self.form == "numerals" else number_words(number)


def operand_pairs(operation: Operation, digits: int) -> list[tuple[int, int]]:
    """Every pair of operands that makes a case, in order.

    One digit: operands 1 to 9 whose result is 1 to 9. More: + and − take two operands of so many
    digits, − the larger one first; × takes such an operand and 2 to 9; ÷ undoes ×, so that the
    quotient has so many digits.
    """
    if digits == 1:
        ones = range(1, 10)
        return [(a, b) for a in ones for b in ones if _is_one_digit_case(operation.name, a, b)]
    numbers = tuple(range(10 ** (digits - 1), 10**digits))
    if operation.name == "add":
        return [(a, b) for a in numbers for b in numbers]
    if operation.name == "sub":
        return [(a, b) for a in numbers for b in numbers if a > b]
    if operation.name == "mul":
        return [(a, b) for a in numbers for b in range(2, 10)]
    return [(quotient * b, b) for quotient in numbers for b in range(2, 10)]


def _is_one_digit_case(name: str, a: int, b: int) -> bool:
    return {"add": a + b <= 9, "sub": a > b, "mul": a * b <= 9, "div": a % b == 0}[name]


def digit_marks(operation: Operation, a: int, b: int) -> tuple[Mark, ...]:
    """The mark of each digit of a result that is not negative, first digit first.

    + and −: a digit is `change-one` if its column receives a carry or a borrow from the column to
    its right. × and ÷: all digits but the last are (paper, section 3.4).
    """
    count = len(str(operation.apply(a, b)))
    if operation.name in ("add", "sub"):
        received = list(islice(_received(a, b, 1 if operation.name == "add" else -1), count))[::-1]
    else:
        received = [True] * (count - 1) + [False]
    return tuple("change-one" if each else "memorize" for each in received)


def _received(a: int, b: int, direction: int) -> Iterator[bool]:
    """Column by column from the ones: does it receive a carry (+1) or a borrow (−1)?"""
    received = False
    while True:
        yield received
        column = a % 10 + direction * (b % 10 + received)
        received = not 0 <= column <= 9
        a, b = a // 10, b // 10


@cache
def number_words(number: int) -> str:
    """A number in words, without the comma that may follow "thousand"."""
    from num2words import num2words  # brings dozens of languages

    return str(num2words(number)).replace(",", "")


@cache
def _numbers_in_a_word() -> dict[str, int]:
    """What the words that name digits stand for."""
    return {number_words(number): number for number in (*range(20), *range(20, 100, 10))}


def word_marks(number: int, digits: tuple[Mark, ...]) -> tuple[Mark, ...]:
    """The mark of each word of a number below 10,000, given those of its digits.

    A word has the mark of the digit it says; a teen says two digits and is `change-one` if either
    is. "hundred", "thousand" and "and" have the mark of the digit in front of them.
    """
    at_place = digits[::-1]
    words = re.findall("[a-z]+", number_words(number))
    marks: list[Mark] = []
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in _SCALES or word == "and":
            marks.append(marks[-1])
            continue
        value = _numbers_in_a_word()[word]
        if value < 10:
            said = [at_place[_SCALES.get(following, 0)]]
        else:
            said = [at_place[1]] if value >= 20 else [at_place[1], at_place[0]]
        marks.append("change-one" if "change-one" in said else "memorize")
    return tuple(marks)


def answer_pieces(answer: str) -> tuple[str, ...]:
    """An answer in pieces that can be marked: digits or words, with what stands before each.

    Joined they are the answer again, unless something else follows the last piece.
    """
    return tuple(re.findall(r"[\s-]*(?:\d|[^\W\d_]+)", answer))


CASES = 1_600
"""Of an evaluation set, as in the paper (section 3.2)."""
TRAIN_CASES = 18_000
TEST_CASES = 2_000
"""Of the sets for fine-tuning, as in the paper (section 5)."""
MAX_SHOTS = 8


def evaluation(
    digits: int,
    cases: int = CASES,
    shots: int = 0,
    seed: int = 0,
    operations: Sequence[str] = tuple(OPERATIONS),
    styles: Sequence[Style] = STYLES,
    forms: Sequence[Form] = FORMS,
) -> PromptSet:
    """Cases of operations, styles and forms in equal numbers, drawn at random.

    Each operation in each style and form is a cell. All cells have equally many cases, or one more
    where `cases` cannot be divided. A cell with fewer distinct cases than that gives each of them
    once, and the set is smaller than asked for: with one digit it holds 944 at most.

    Args:
        digits: of the operands, 1 to 3; see `operand_pairs`.
        cases: how many in all.
        shots: worked examples in front of each case, 0 to `MAX_SHOTS`. The cases of a cell share
            theirs, and none of them is an example.
        seed: the same one draws the same cases, and for more shots as far as there are enough.
        operations: names in `OPERATIONS`.
        styles: how the question is put.
        forms: numerals or number words.

    Raises:
        InputError: an argument is out of range, or names nothing known.
    """
    drawn = evaluation_cases(digits, cases, shots, seed, operations, styles, forms)
    return PromptSet(name=f"arithmetic{digits}", prompts=tuple(each.prompt for each in drawn))


def evaluation_cases(
    digits: int,
    cases: int = CASES,
    shots: int = 0,
    seed: int = 0,
    operations: Sequence[str] = tuple(OPERATIONS),
    styles: Sequence[Style] = STYLES,
    forms: Sequence[Form] = FORMS,
) -> list[Case]:
    """What `evaluation` makes prompts of."""
    _check_digits(digits)
    check_shots(shots)
    _check_names("operation", operations, tuple(OPERATIONS))
    _check_names("style", styles, STYLES)
    _check_names("form", forms, FORMS)
    if cases < 1:
        raise InputError(f"--cases {cases} is out of range; choose 1 or more")
    cells = len(operations) * len(styles) * len(forms)
    counts = iter([cases // cells + (rank < cases % cells) for rank in range(cells)])
    drawn: list[Case] = []
    for operation in (OPERATIONS[name] for name in operations):
        pairs = operand_pairs(operation, digits)
        for style in styles:
            for form in forms:
                cell = Case(operation, digits, style, form, 0, 0)
                drawn.extend(_cell(cell, pairs, next(counts), shots, seed))
    return drawn


def _cell(
    cell: Case, pairs: list[tuple[int, int]], count: int, shots: int, seed: int
) -> Iterator[Case]:
    """Cases of one operation, style and form behind examples that are not among them."""
    kind = (cell.operation, cell.digits, cell.style, cell.form)
    # Text as a seed: the same cases in every cell would make the styles less independent.
    draw = Random(f"{seed} {cell.operation.name}{cell.digits} {cell.style} {cell.form}")
    chosen = draw.sample(pairs, min(count + MAX_SHOTS, len(pairs)))
    # From the end, so that the cases stay the same with more examples if there are enough.
    examples = "".join(Case(*kind, a, b).line for a, b in chosen[::-1][:shots])
    for a, b in chosen[: min(count, len(chosen) - shots)]:
        yield Case(*kind, a, b, examples)


def answer_steps(prompts: PromptSet) -> PromptSet:
    """Each marked piece of each answer as a case behind the pieces before it.

    "15 + 37 = " gives "15 + 37 = " → "5" of the group "+ change-one" and "15 + 37 = 5" → "2" of the
    group "+ memorize" (paper, section 3.4). Cases without marks are left out.

    Raises:
        InputError: no case has marks, or the answer of one has not a piece for each mark.
    """
    steps = []
    for number, prompt in enumerate(prompts.prompts, start=1):
        if not prompt.marks:
            continue
        if prompt.messages or len(prompt.answers) != 1:
            raise InputError(
                f"case {number} of {prompts.name} has {len(prompt.marks)} marks, which need a "
                "prompt and one answer"
            )
        (answer,) = prompt.answers
        pieces = answer_pieces(answer)
        if "".join(pieces) != answer or len(pieces) != len(prompt.marks):
            raise InputError(
                f"case {number} of {prompts.name} has {len(prompt.marks)} marks, which are not one "
                "for each digit or word of its answer"
            )
        text = prompt.prompt
        for piece, mark in zip(pieces, prompt.marks, strict=True):
            group = f"{prompt.group} {mark}".strip()
            steps.append(Prompt(prompt=text, answer=piece, group=group, marks=(mark,)))
            text += piece
    if not steps:
        raise InputError(f"no case of {prompts.name} has marks; answers are taken apart by them")
    return PromptSet(name=f"{prompts.name} steps", prompts=tuple(steps))


def finetuning(
    digits: int = 2,
    seed: int = 0,
    train: int = TRAIN_CASES,
    test: int = TEST_CASES,
    styles: Sequence[Style] = STYLES,
) -> tuple[PromptSet, PromptSet]:
    """Cases to train on and cases to test on, in numerals, with no examples in front.

    Subtractions take their operands in either order, so that results may be negative (paper,
    section 5). No equation of the test set is in the training set in any style, and no case comes
    twice. The operations share each set equally, as far as each has enough cases.

    Raises:
        InputError: there are not enough distinct cases, or an argument is out of range.
    """
    sets = finetuning_cases(digits, seed, train, test, styles)
    names = (f"arithmetic{digits} train", f"arithmetic{digits} test")
    to_train, to_test = (
        PromptSet(name=name, prompts=tuple(each.prompt for each in cases))
        for name, cases in zip(names, sets, strict=True)
    )
    return to_train, to_test


def finetuning_cases(
    digits: int = 2,
    seed: int = 0,
    train: int = TRAIN_CASES,
    test: int = TEST_CASES,
    styles: Sequence[Style] = STYLES,
) -> tuple[list[Case], list[Case]]:
    """What `finetuning` makes prompts of: to train on, to test on."""
    _check_digits(digits)
    _check_names("style", styles, STYLES)
    if train < 1 or test < 1:
        raise InputError(f"{train} cases to train on and {test} to test on: choose 1 or more")
    draw = Random(f"{seed} fine-tuning {digits}")
    pools = {each: _either_order(each, digits) for each in OPERATIONS.values()}
    sizes = [len(pool) * len(styles) for pool in pools.values()]
    held_out, to_test = {}, []
    for (operation, pool), share in zip(pools.items(), _shares(test, sizes), strict=True):
        equations = set(draw.sample(pool, -(-share // len(styles))))
        held_out[operation] = equations
        to_test += _draw_cases(operation, digits, sorted(equations), styles, share, draw)
    pools = {
        operation: [pair for pair in pool if pair not in held_out[operation]]
        for operation, pool in pools.items()
    }
    left = [len(pool) * len(styles) for pool in pools.values()]
    if len(to_test) < test or sum(left) < train:
        raise InputError(
            f"with {digits}-digit operands there are {sum(sizes):,} distinct cases: "
            f"not enough for {train:,} to train on and {test:,} others to test on"
        )
    to_train = []
    for (operation, pool), share in zip(pools.items(), _shares(train, left), strict=True):
        to_train += _draw_cases(operation, digits, pool, styles, share, draw)
    draw.shuffle(to_train)
    draw.shuffle(to_test)
    return to_train, to_test


def _either_order(operation: Operation, digits: int) -> list[tuple[int, int]]:
    pairs = operand_pairs(operation, digits)
    return pairs + [(b, a) for a, b in pairs] if operation.name == "sub" else pairs


def _draw_cases(
    operation: Operation,
    digits: int,
    pairs: Sequence[tuple[int, int]],
    styles: Sequence[Style],
    count: int,
    draw: Random,
) -> list[Case]:
    """Some of all pairs in all styles, none twice."""
    cases = []
    for place in draw.sample(range(len(pairs) * len(styles)), count):
        pair, style = divmod(place, len(styles))
        cases.append(Case(operation, digits, styles[style], "numerals", *pairs[pair]))
    return cases


def _shares(total: int, available: Sequence[int]) -> list[int]:
    """The total in equal shares; what one has too little for is shared among the others."""
    shares = [0] * len(available)
    scarce_first = sorted(range(len(available)), key=lambda place: available[place])
    for done, place in enumerate(scarce_first):
        shares[place] = min(available[place], total // (len(available) - done))
        total -= shares[place]
    return shares


def check_shots(shots: int) -> None:
    """Refuse a number of worked examples that there are not.

    Raises:
        InputError: it is out of range.
    """
    if not 0 <= shots <= MAX_SHOTS:
        raise InputError(f"--shots {shots} is out of range; choose 0 to {MAX_SHOTS}")


def _check_digits(digits: int) -> None:
    if digits not in DIGITS:
        raise InputError(f"--digits {digits}: choose 1, 2 or 3")


def _check_names(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown or not names or len(set(names)) < len(names):
        given = ", ".join(unknown or names) or "nothing"
        raise InputError(f"{what}s {given}: choose from {', '.join(known)}, each once")
