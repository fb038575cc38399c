"""Prompts with their answers, and the arithmetic tasks built from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from analysis.errors import InputError


class Prompt(BaseModel):
    """One case: what the model reads and what it should say next."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: str
    answer: str | None = None
    """The continuation that counts as right; None: the model's own top prediction."""
    group: str = ""
    """Operation or case kind; results can be read group by group."""

    @field_validator("prompt")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("the prompt is empty; give the text the model should continue")
        return value

    @field_validator("answer")
    @classmethod
    def _answer_not_empty(cls, value: str | None) -> str | None:
        if value == "":
            raise ValueError("the answer is empty; leave it out to use the top prediction")
        return value


class PromptSet(BaseModel):
    """The cases a step runs on, with the name people know them by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    prompts: tuple[Prompt, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def title(self) -> str:
        """Name and size in a few words."""
        count = len(self.prompts)
        return f"{self.name} · 1 prompt" if count == 1 else f"{self.name} · {count} prompts"

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups present, in order of first appearance."""
        return tuple(dict.fromkeys(prompt.group for prompt in self.prompts))

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
    def single(cls, text: str, answer: str | None = None) -> PromptSet:
        """A set of one free prompt.

        Raises:
            InputError: the prompt or the answer is empty.
        """
        return cls(name="prompt", prompts=(_prompt(prompt=text, answer=answer),))


@dataclass(frozen=True)
class _Operation:
    """How the one-digit cases of an operation are written and which there are."""

    word: str
    sign: str
    apply: Callable[[int, int], int]
    holds: Callable[[int, int], bool]
    """Whether the pair makes a case: operands 1 to 9, one-digit positive answer."""
    shots: tuple[tuple[int, int], ...]

    def line(self, a: int, b: int) -> str:
        return f"{a} {self.sign} {b} = "


_OPERATIONS = {
    op.word: op
    for op in (
        _Operation(
            "add",
            "+",
            lambda a, b: a + b,
            lambda a, b: a + b <= 9,
            ((2, 3), (7, 1), (4, 5), (1, 3), (6, 2), (3, 3), (5, 1), (2, 7)),
        ),
        _Operation(
            "sub",
            "-",
            lambda a, b: a - b,
            lambda a, b: a > b,
            ((8, 3), (9, 7), (5, 4), (6, 3), (7, 1), (4, 2), (9, 5), (3, 2)),
        ),
        _Operation(
            "mul",
            "*",
            lambda a, b: a * b,
            lambda a, b: a * b <= 9,
            ((2, 3), (7, 1), (4, 2), (1, 5), (3, 3), (1, 9), (2, 2), (6, 1)),
        ),
        _Operation(
            "div",
            "/",
            lambda a, b: a // b,
            lambda a, b: a % b == 0,
            ((6, 2), (7, 1), (8, 4), (9, 3), (5, 5), (4, 1), (8, 2), (3, 1)),
        ),
    )
}

TASKS = tuple(f"{word}1" for word in _OPERATIONS)
"""Names of the built-in tasks."""
MAX_SHOTS = 8


def task(name: str, shots: int = 0) -> PromptSet:
    """Every one-digit case of an operation, behind worked examples of the same form.

    Args:
        name: one of `TASKS`, or several joined by commas.
        shots: how many worked examples stand before each case, 0 to `MAX_SHOTS`.

    Raises:
        InputError: no such task, or no such number of shots.
    """
    if not 0 <= shots <= MAX_SHOTS:
        raise InputError(f"--shots {shots} is out of range; choose 0 to {MAX_SHOTS}")
    names = [part.strip() for part in name.split(",") if part.strip()]
    unknown = [part for part in names if part not in TASKS]
    if unknown or not names:
        raise InputError(
            f"unknown task {', '.join(unknown) or name!r}; "
            f"known are {', '.join(TASKS)}, or give the path of a JSONL file"
        )
    prompts = [prompt for part in names for prompt in _cases(_OPERATIONS[part[:-1]], shots)]
    return PromptSet(name=",".join(names), prompts=tuple(prompts))


def _cases(op: _Operation, shots: int) -> Iterator[Prompt]:
    examples = "".join(f"{op.line(a, b)}{op.apply(a, b)}\n" for a, b in op.shots[:shots])
    for a in range(1, 10):
        for b in range(1, 10):
            if op.holds(a, b):
                text = examples + op.line(a, b)
                yield Prompt(prompt=text, answer=str(op.apply(a, b)), group=op.sign)


def read_task_file(path: Path) -> PromptSet:
    """Read cases from JSON lines of `{"prompt": …, "answer": …, "group": …}`.

    Raises:
        InputError: the file cannot be read, or a line is not such an object; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
    prompts = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
        except json.JSONDecodeError as error:
            where = f"{path.name} line {number}, column {error.colno}"
            raise InputError(f"{where}: this is not JSON ({error.msg})") from error
        except RecursionError as error:
            raise InputError(f"{path.name} line {number} is nested too deeply") from error
        if not isinstance(data, dict):
            raise InputError(f'{path.name} line {number} is not an object like {{"prompt": "…"}}')
        try:
            prompts.append(_prompt(**{str(key): value for key, value in data.items()}))
        except InputError as error:
            raise InputError(f"{path.name} line {number}: {error}") from error
    if not prompts:
        raise InputError(f"{path.name} holds no cases; one JSON object a line is expected")
    return PromptSet(name=path.stem, prompts=tuple(prompts))


def unescaped(text: str) -> str:
    r"""Text as typed in a shell or a one-line field: \n, \t and \\ stand for what they name."""
    named = {"n": "\n", "t": "\t", "\\": "\\"}
    parts = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            parts.append(named.get(following, character + following))
        else:
            parts.append(character)
    return "".join(parts)


def escaped(text: str) -> str:
    """Text for a shell or a one-line field; `unescaped` reads it back."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def _prompt(**fields: object) -> Prompt:
    try:
        return Prompt.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        own = first["type"] == "value_error"
        raise InputError(message if own else f"{place}: {message}") from None
