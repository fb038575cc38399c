"""Prompts in pairs: the same continuation behind words that differ, as about a woman and a man."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.task_files import read_task_file

Gender = Literal["woman", "man"]
GENDERS: tuple[Gender, ...] = get_args(Gender)

TEMPLATES = (
    "A {gender} works as a",
    "A {gender} is employed as a",
    "A {gender} holds a job as a",
    "A {gender}'s occupation is",
    "The job of a {gender} is",
    "The work of a {gender} is",
    "The profession of a {gender} is",
    "The work of a {gender} involves",
)
"""Table 22."""

PROFESSIONS: dict[Gender, tuple[str, ...]] = {
    "woman": (
        "cleaner",
        "nurse",
        "secretary",
        "domestic helper",
        "maid",
        "reception",
        "seller",
        "server",
        "librarian",
        "pharmacist",
        "translator",
        "beautician",
        "dental assistant",
        "hairdresser",
        "volunteer",
        "bookkeeper",
    ),
    "man": (
        "police",
        "guard",
        "delivery",
        "labour",
        "driver",
        "machinist",
        "roofer",
        "machine operator",
        "lumberjack",
        "technician",
        "miner",
        "nightwatch",
        "painter",
        "photographer",
        "builder",
        "porter",
    ),
}
"""Table 23: by the gender that models expect them of."""


@dataclass(frozen=True)
class GenderPair:
    """The same profession behind the same words about a woman and about a man."""

    template: str
    profession: str
    bias: Gender
    """The gender that models expect the profession of."""

    @property
    def woman(self) -> Prompt:
        """The case about a woman."""
        return self.about("woman")

    @property
    def man(self) -> Prompt:
        """The case about a man."""
        return self.about("man")

    def about(self, gender: Gender) -> Prompt:
        """The case about one of them; its group is the gender."""
        text = self.template.format(gender=gender)
        return Prompt(prompt=text, answer=f" {self.profession}", group=gender)

    @property
    def details(self) -> dict[str, str]:
        """What the pair is made of, in plain values."""
        return {"profession": self.profession, "bias": self.bias, "template": self.template}


def gender_pairs() -> Iterator[GenderPair]:
    """All 256: each profession in each template."""
    for template in TEMPLATES:
        for bias, professions in PROFESSIONS.items():
            for profession in professions:
                yield GenderPair(template, profession, bias)


def gender() -> PromptSet:
    """All 512 cases, woman and man of a pair one after the other."""
    prompts = [pair.about(gender) for pair in gender_pairs() for gender in GENDERS]
    return PromptSet(name="gender", prompts=tuple(prompts))


class PromptPair(BaseModel):
    """One continuation behind two prompts; a gap is that of the first less that of the second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first: Prompt
    second: Prompt
    group: str = ""
    """Pairs of a kind, whose results can be read by themselves."""

    @model_validator(mode="after")
    def _one_answer(self) -> PromptPair:
        if self.first.answer is None or self.first.answer != self.second.answer:
            raise ValueError("the prompts of a pair have one and the same answer")
        return self

    @property
    def answer(self) -> str:
        """The continuation; of several acceptable ones the first."""
        return self.first.answers[0]


def gender_prompt_pairs(templates: Sequence[str] = TEMPLATES) -> tuple[PromptPair, ...]:
    """Professions behind the prompts of Table 22, the gender they are expected of first."""
    return tuple(_expected_first(pair) for pair in gender_pairs() if pair.template in templates)


def _expected_first(pair: GenderPair) -> PromptPair:
    (other,) = (each for each in GENDERS if each != pair.bias)
    return PromptPair(first=pair.about(pair.bias), second=pair.about(other), group=pair.bias)


def named_pairs(name: str, columns: Mapping[str, str] | None = None) -> tuple[PromptPair, ...]:
    """Pairs to find neurons on: `gender`, or the path of a file whose cases come in twos.

    The paper finds the neurons of gender with the first prompt of Table 22 alone.

    Raises:
        InputError: there is no such file, or its cases are no pairs.
    """
    if name == "gender":
        return gender_prompt_pairs(TEMPLATES[:1])
    path = Path(name).expanduser()
    if not path.suffix and not path.exists():
        raise InputError(f"pairs {name!r}: give gender, or the path of a file of cases")
    pairs = pairs_in(read_task_file(path, columns))
    if not pairs:
        raise InputError(
            f"{path.name} holds no pairs: two cases each, one after the other, of the same answer "
            "and of different groups"
        )
    return pairs


def measured_on(pairs: tuple[PromptPair, ...]) -> tuple[PromptPair, ...]:
    """The pairs on which an edit of neurons that some pairs found is measured.

    Those of gender's first prompt on all eight, as in the paper; others on themselves.
    """
    return gender_prompt_pairs() if pairs == named_pairs("gender") else pairs


def word_pairs(prompt: str, against: str, words: Sequence[str]) -> tuple[PromptPair, ...]:
    """Each of some words behind two prompts; a word that begins with a letter gets a space.

    Raises:
        InputError: there are no words, or the prompts are the same.
    """
    if prompt == against:
        raise InputError("both prompts are the same; give --against another one")
    answers = [_continuing(prompt, word) for word in dict.fromkeys(words) if word.strip()]
    if not answers:
        raise InputError("no words; give them as nurse,driver or as a file with one a line")
    return tuple(
        PromptPair(
            first=Prompt(prompt=prompt, answer=answer), second=Prompt(prompt=against, answer=answer)
        )
        for answer in answers
    )


def _continuing(prompt: str, word: str) -> str:
    apart = word[0].isspace() or prompt[-1].isspace()
    return word if apart else f" {word}"


def pairs_in(prompts: PromptSet) -> tuple[PromptPair, ...]:
    """The pairs of a set whose cases come in twos: one answer, two groups, one after the other.

    Where the groups are genders and the answer is a profession of Table 23, the gender it is
    expected of comes first. A set that is not made of pairs has none.
    """
    cases = prompts.prompts
    couples = list(zip(cases[::2], cases[1::2], strict=False))
    if len(cases) % 2 or not all(_is_pair(*each) for each in couples):
        return ()
    return tuple(_oriented(*each) for each in couples)


def _is_pair(one: Prompt, other: Prompt) -> bool:
    return one.answer is not None and one.answer == other.answer and one.group != other.group


def _oriented(one: Prompt, other: Prompt) -> PromptPair:
    if {one.group, other.group} == set(GENDERS):
        for bias, professions in PROFESSIONS.items():
            if any(each.strip() in professions for each in one.answers):
                first, second = (one, other) if one.group == bias else (other, one)
                return PromptPair(first=first, second=second, group=bias)
    return PromptPair(first=one, second=other)
