"""Prompts with their answers, and the files people keep them in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from analysis.errors import InputError

Mark = Literal["memorize", "change-one"]
"""Whether a piece of an answer can be said from memory or takes a carry (paper, section 3.4)."""

MAX_CASES = 1_000_000
"""Of a Parquet file: a forged one can claim any number of rows in a few bytes."""
MAX_TEXT_BYTES = 256 * 2**20
"""Of the cases of a Parquet file, unpacked."""


class Prompt(BaseModel):
    """One case: what the model reads and what it should say next."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    prompt: str
    answer: str | None = None
    """The continuation that counts as right; None: the model's own top prediction."""
    group: str = ""
    """Operation or case kind; results can be read group by group."""
    marks: tuple[Mark, ...] = ()
    """One for each piece of the answer in order: a digit of a numeral, a word of a number word."""

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


def read_task_file(path: Path) -> PromptSet:
    """Read cases with the fields of `Prompt`, whatever else stands beside them.

    Args:
        path: a Parquet file if it ends in `.parquet`, else JSON lines, one object a case.

    Raises:
        InputError: the file cannot be read, or a case does not fit; names the line or row.
    """
    parquet = path.suffix.lower() == ".parquet"
    prompts = []
    for place, fields in _parquet_rows(path) if parquet else _json_lines(path):
        try:
            prompts.append(_prompt(**fields))
        except InputError as error:
            raise InputError(f"{path.name} {place}: {error}") from error
    if not prompts:
        wanted = "a row each is" if parquet else "one JSON object a line is"
        raise InputError(f"{path.name} holds no cases; {wanted} expected")
    return PromptSet(name=path.stem, prompts=tuple(prompts))


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object stands and what it holds."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
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
        yield f"line {number}", data


def _parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each row stands and what it holds; a null is a field left out."""
    try:
        rows = _checked_frame(path)
    except OSError as error:
        reason = error.strerror or "it is damaged"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = "it is no whole Parquet file"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
    for number, row in enumerate(rows.iter_rows(named=True), start=1):
        yield f"row {number}", {name: value for name, value in row.items() if value is not None}


def _checked_frame(path: Path) -> pl.DataFrame:
    """The columns of a Parquet file that make cases, if they have the right types and sizes."""
    wanted = {
        "prompt": pl.String(),
        "answer": pl.String(),
        "group": pl.String(),
        "marks": pl.List(pl.String),
    }
    with path.open("rb"):  # what the system has against it is said in its words
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = scan.collect_schema()
    present = {name: dtype for name, dtype in wanted.items() if name in schema}
    if "prompt" not in present:
        raise InputError(f"{path.name} has no column prompt")
    for name, dtype in present.items():
        if schema[name] not in (dtype, pl.Null):
            raise InputError(f"{path.name}: its column {name} holds {schema[name]}, not {dtype}")
    count = scan.select(pl.len()).collect().item()
    if count > MAX_CASES:
        raise InputError(f"{path.name} claims {count:,} cases; {MAX_CASES:,} at most are read")
    rows = scan.select(list(present)).collect()
    texts = rows.select(pl.col(pl.String).str.len_bytes().sum())
    if sum(texts.row(0)) > MAX_TEXT_BYTES:
        raise InputError(f"{path.name} holds more than {MAX_TEXT_BYTES // 2**20} MiB of text")
    return rows


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
