"""Arithmetic cases: which there are, how they are written, and which digits take a carry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Literal, get_args

from analysis.tasks.prompts import Mark, Prompt

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
