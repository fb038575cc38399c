"""Prompts with their answers, and the files people keep them in."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from analysis.errors import InputError

Mark = Literal["memorize", "change-one"]
"""Whether a piece of an answer can be said from memory or takes a carry (paper, section 3.4)."""


def _whole(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text holds half a surrogate pair, which stands for no character")
    return text


Utf8 = Annotated[str, AfterValidator(_whole)]
"""Text that can be written as UTF-8, as tokenizers and files need it."""


class Message(BaseModel):
    """One turn of a chat."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    role: Utf8
    content: Utf8


class Prompt(BaseModel):
    """One case: what the model reads and what it should say next."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    messages: tuple[Message, ...] = ()
    """A chat, which the tokenizer's own template makes a text of, instead of a prompt."""
    prompt: Utf8 = Field("", validate_default=True)
    """The text to continue; of a chat its messages as people read them."""
    answer: Utf8 | tuple[Utf8, ...] | None = None
    """The continuation that counts as right, or several of which any does; None: the model's own
    top prediction."""
    group: Utf8 = ""
    """Operation or case kind; results can be read group by group."""
    marks: tuple[Mark, ...] = ()
    """One for each piece of the answer in order: a digit of a numeral, a word of a number word."""
    corrupt: Utf8 | None = None
    """The prompt it is compared with, of as many tokens, where the answer is not to be expected."""
    wrong: Utf8 | tuple[Utf8, ...] | None = None
    """What the answer is measured against, or several such: what fits the corrupt prompt."""
    roles: tuple[tuple[Utf8, Utf8], ...] = ()
    """What words of the prompt are to the case, written as `{"subject": "Mary"}`: attention over
    several cases is averaged by these. A word that several roles name stands for each in turn."""

    @field_validator("messages")
    @classmethod
    def _to_be_answered(cls, value: tuple[Message, ...]) -> tuple[Message, ...]:
        if value and value[-1].role == "assistant":
            raise ValueError(
                "the last message is the assistant's; give what it should say as the answer"
            )
        return value

    @field_validator("prompt")
    @classmethod
    def _not_empty(cls, value: str, info: ValidationInfo) -> str:
        shown = "\n".join(f"{each.role}: {each.content}" for each in info.data.get("messages", ()))
        if shown and value not in ("", shown):
            raise ValueError("give a prompt or messages, not both")
        if not (value or shown):
            raise ValueError("the prompt is empty; give the text the model should continue")
        return value or shown

    @field_validator("answer", "wrong", mode="before")
    @classmethod
    def _texts(cls, value: Any, info: ValidationInfo) -> Any:
        """Numbers are what they are written as; of one answer alone no list is made."""
        one, some = _CALLED[info.field_name or ""]
        if not isinstance(value, list | tuple):
            return _as_text(value, f"the {one}")
        texts = tuple(dict.fromkeys(_as_text(each, f"{some[0]} {some[1]}") for each in value))
        if None in texts or not texts:
            raise ValueError(f"the list of {some[1]}s is empty or has an empty place")
        return texts if len(texts) > 1 else texts[0]

    @field_validator("group", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return _as_text(value, "the group", empty=True)

    @field_validator("roles", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        """A table has a column for each role that any of its cases names."""
        if not isinstance(value, dict):
            raise ValueError('give roles as an object, such as {"subject": "Mary"}')
        named = {name: word for name, word in value.items() if word is not None}
        if blank := [name for name, word in named.items() if not str(word).strip()]:
            raise ValueError(f"role {blank[0]} names no word; leave it out or give one")
        return tuple((name, _as_text(word, f"role {name}")) for name, word in named.items())

    @model_validator(mode="after")
    def _roles_stand_in_it(self) -> Prompt:
        role_spans(self.prompt, self.roles)
        return self

    @model_validator(mode="after")
    def _two_sides(self) -> Prompt:
        if self.corrupt is not None and self.messages:
            raise ValueError("a corrupt prompt goes with a prompt, not with messages")
        if self.corrupt == "":
            raise ValueError("the corrupt prompt is empty; leave it out or give another prompt")
        if self.corrupt == self.prompt:
            raise ValueError("the corrupt prompt is the prompt itself; give another one")
        both = next((each for each in self.answers if each in self.wrongs), None)
        if both is not None:
            raise ValueError(f"{both!r} is given as the answer and as wrong; it can be one of them")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_unset(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The JSON of a case says nothing of messages and of a second side that it has not."""
        fields: dict[str, Any] = plain(self)
        for name in ("messages", "corrupt", "wrong", "roles"):
            if not getattr(self, name):
                fields.pop(name, None)
        if self.roles:
            fields["roles"] = dict(self.roles)
        return fields

    @property
    def answers(self) -> tuple[str, ...]:
        """What counts as right; nothing where that is the model's own top prediction."""
        return _listed(self.answer)

    @property
    def wrongs(self) -> tuple[str, ...]:
        """What the answer is measured against; nothing where it stands for itself."""
        return _listed(self.wrong)


_CALLED = {
    "answer": ("answer", ("an", "acceptable answer")),
    "wrong": ("wrong answer", ("a", "wrong answer")),
}
"""What messages call one answer, and one of several."""


def role_spans(text: str, roles: Iterable[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """Where the words stand that roles name: each role with the first and behind the last letter.

    A word that one role names is meant wherever it stands; of one that several name the first
    place is the first role's, and so on.

    Raises:
        ValueError: a word does not stand in the text, or not often enough.
    """
    naming: dict[str, list[str]] = {}
    for role, word in roles:
        naming.setdefault(word.strip(), []).append(role)
    spans = []
    for word, names in naming.items():
        found = [each.span() for each in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)]
        if len(found) < len(names):
            who = "role" if len(names) == 1 else f"{len(names)} roles"
            raise ValueError(
                f"{who} {', '.join(names)}: the prompt has {word!r} {len(found)} times"
            )
        named = names * len(found) if len(names) == 1 else names
        spans += [(name, *span) for name, span in zip(named, found, strict=False)]
    return spans


def _listed(value: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _as_text(value: Any, what: str, empty: bool = False) -> str | None:
    """A text, or a number as text; None stays."""
    if value is None or (isinstance(value, str) and (value or empty)):
        return value
    if value == "":
        instead = "" if "wrong" in what else " to use the top prediction"
        raise ValueError(f"{what} is empty; leave it out{instead}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{what} is neither a text nor a number")
    return str(value)


class PromptSet(BaseModel):
    """The cases a step runs on, with the name people know them by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    prompts: tuple[Prompt, ...]
    only_fitting: bool = False
    """What a tokenizer does not hold as it should is left out before a step runs, not refused."""
    left_out: int = 0
    """Cases that were."""

    @model_serializer(mode="wrap")
    def _without_what_is_usual(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The JSON of a set of which nothing is left out does not speak of it."""
        fields: dict[str, Any] = plain(self)
        return {name: each for name, each in fields.items() if each is not False and each != 0}

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def title(self) -> str:
        """Name and size in a few words."""
        count = len(self.prompts)
        cases = "1 prompt" if count == 1 else f"{count} prompts"
        without = f" ({self.left_out} left out)" if self.left_out else ""
        return f"{self.name} · {cases}{without}"

    def fitted(self, fits: Callable[[Prompt], bool]) -> PromptSet:
        """The set without what does not fit a tokenizer, where that is to be left out.

        Args:
            fits: whether a case does.

        Raises:
            InputError: nothing is left.
        """
        if not self.only_fitting:
            return self
        kept = tuple(each for each in self.prompts if fits(each))
        left_out = len(self.prompts) - len(kept)
        if not kept:
            raise InputError(
                f"none of the {left_out} cases of {self.name} fits this model's tokenizer: an "
                "answer is to be one token, and both prompts of a case as long as each other"
            )
        return PromptSet(name=self.name, prompts=kept, left_out=left_out)

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups present, in order of first appearance."""
        return tuple(dict.fromkeys(prompt.group for prompt in self.prompts))

    @property
    def has_wrong(self) -> bool:
        """Whether any case has a wrong answer, so that there is a logit difference to measure."""
        return any(each.wrongs for each in self.prompts)

    def require_answers(self) -> None:
        """Make sure that every case says what is right.

        Raises:
            InputError: one has no answer; names it.
        """
        for number, prompt in enumerate(self.prompts, start=1):
            if prompt.answer is None:
                raise InputError(
                    f"case {number} of {self.name} has no answer, so nothing says what is right; "
                    'give each case an "answer"'
                )

    @classmethod
    def single(
        cls, text: str, answer: str | Sequence[str] | None = None, **more: object
    ) -> PromptSet:
        """A set of one free prompt.

        Args:
            text: the prompt.
            answer: what counts as right, or several of which any does; None: the top prediction.
            more: other fields of the case.

        Raises:
            InputError: the prompt or the answer is empty or no text, or the fields do not fit.
        """
        return cls(name="prompt", prompts=(as_prompt(prompt=text, answer=answer, **more),))


_ESCAPE = re.compile(r"\\(n|t|\\|x[0-9a-fA-F]{2})")


def unescaped(text: str) -> str:
    r"""Text as typed in a shell or a one-line field: \n, \t, \x1b and \\ stand for characters."""
    named = {"n": "\n", "t": "\t", "\\": "\\"}
    return _ESCAPE.sub(lambda found: named.get(found[1]) or chr(int(found[1][1:], 16)), text)


def escaped(text: str) -> str:
    """Text for a shell or a one-line field, without control characters; `unescaped` reads it."""
    named = {"\n": "\\n", "\t": "\\t", "\\": "\\\\"}
    return "".join(
        named.get(each) or (f"\\x{ord(each):02x}" if unicodedata.category(each) == "Cc" else each)
        for each in text
    )


def as_prompt(**fields: object) -> Prompt:
    """A case of fields that may not fit it.

    Raises:
        InputError: one of them does not; names it.
    """
    try:
        return Prompt.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        own = first["type"] == "value_error"
        raise InputError(message if own else f"{place}: {message}") from None


SHARE = 0.1
"""Of the cases that are chosen by, and of those tested on where no others are given."""


@dataclass(frozen=True)
class Split:
    """Three sets of cases."""

    train: tuple[Prompt, ...]
    validation: tuple[Prompt, ...]
    test: tuple[Prompt, ...]


def split(prompts: PromptSet, test: PromptSet | None, seed: int) -> Split:
    """Draw 80 / 10 / 10 percent of distinct cases, at least one each.

    With a test set of its own all that is not in it is split 90 / 10 for training and validation.

    Args:
        prompts: the cases.
        test: cases to test on; None: some of `prompts`.
        seed: the same one draws the same cases.

    Raises:
        InputError: there are too few cases, or one of them does not say what is right.
    """
    prompts.require_answers()
    held_out: tuple[Prompt, ...] = ()
    if test is not None:
        test.require_answers()
        held_out = tuple(dict.fromkeys(test.prompts))
    texts = {each.prompt for each in held_out}
    cases = [each for each in dict.fromkeys(prompts.prompts) if each.prompt not in texts]
    needed = 3 if test is None else 2
    if len(cases) < needed or (test is not None and not held_out):
        inside = "" if test is None else f" that are not in {test.name}"
        raise InputError(
            f"{prompts.name} has {len(cases)} distinct cases{inside}; training takes at least "
            f"{needed}, to train on, to choose by{' and to test on' if test is None else ''}"
        )
    # A text seeds the same numbers on every machine.
    Random(f"{seed} split").shuffle(cases)
    part = max(1, round(SHARE * len(cases)))
    if test is None:
        held_out, cases = tuple(cases[:part]), cases[part:]
    return Split(tuple(cases[part:]), tuple(cases[:part]), held_out)
