"""How a step is asked for in words. Each option is declared once, on the field that it fills.

The command line, plan files and the forms on the screen offer the options of a step and read what
was given by the same code. A field with a description is typed as its type says; where a value
takes more than one word to ask for, the field carries a `Typed`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from analysis.errors import InputError

REQUIRED: Any = object()
"""The default of an option that must be given."""


@dataclass(frozen=True)
class Option:
    """One thing a user may say: `--top-tokens 50` on a command line, `top_tokens = 50` in a plan.

    Raises:
        InputError: `read` and `check` say in one line what was wrong.
    """

    name: str
    help: str
    type: type = str
    """`str`, `int`, `float`, `bool` or `Path`."""
    default: Any = None
    metavar: str | None = None
    """What stands for the value in the help."""
    least: float | None = None
    most: float | None = None
    several: bool = False
    """Whether it may be given more than once; its value is a list then."""
    argument: bool = False
    """Whether a command line takes it by its place instead of its name."""
    file: bool = False
    """Whether the text may be the path of a file."""
    changes: bool = False
    """Whether `@FILE` stands for the changes that a file holds."""
    names: Callable[[], Iterable[str]] = field(default=tuple)
    """What a shell may offer."""
    listed: bool = False
    """Whether it takes several of those names, joined by commas."""

    @property
    def flag(self) -> str:
        """How messages name it; those of a plan have no dashes."""
        return self.name if self.argument else "--" + self.name.replace("_", "-")

    @property
    def required(self) -> bool:
        """Whether there is no step without it."""
        return self.default is REQUIRED

    def read(self, value: Any) -> Any:
        """A value of a plan file or a form, which may be a text, as the command line gives it."""
        if self.type is bool:
            return self._flag(value)
        if isinstance(value, list) and self.several:
            return [self._one(each) for each in value]
        if isinstance(value, list):
            joined = ",".join(map(str, value))
            raise InputError(f'{self.flag}: give one text, such as "{joined}", not a list')
        return [self._one(value)] if self.several else self._one(value)

    def _flag(self, value: Any) -> bool:
        words = {"yes": True, "no": False}
        if isinstance(value, bool):
            return value
        if value in words:
            return words[value]
        raise InputError(f"{self.flag}: give true or false, not {value!r}")

    def _one(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"{self.flag}: give a text or a number, not {str(value).lower()}")
        if self.type is str:
            return str(value)
        try:
            text = ungrouped(str(value)) if self.type is int else str(value)
            read: Any = TypeAdapter(self.type).validate_python(text)
        except ValidationError as error:
            nouns = {int: "a whole number", float: "a number"}
            raise InputError(
                f"Invalid value for '{self.flag}': {value!r} is not {nouns[self.type]}"
            ) from error
        return self.check(read)

    def check(self, value: Any) -> Any:
        """A number, unless it is too small or too large."""
        if self.least is not None and value < self.least:
            raise InputError(f"Invalid value for '{self.flag}': {value} is less than {self.least}")
        if self.most is not None and value > self.most:
            raise InputError(f"Invalid value for '{self.flag}': {value} is more than {self.most}")
        return value


_GROUPED = re.compile(r"\d{1,3}(?:[,_' \u2009\u202f\xa0]\d{3})+")


def ungrouped(text: str) -> str:
    """A whole number without what sets its thousands apart, as in 99,999; other texts stay."""
    return re.sub(r"\D", "", text) if _GROUPED.fullmatch(text.strip()) else text


@dataclass(frozen=True)
class Given:
    """What was given for each option, with defaults for the others."""

    values: Mapping[str, Any]
    seed: int = 0
    """Of everything random, which all commands and plans take."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Fields that are known already, as the prompts that a screen works on."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def given(
    options: Iterable[Option],
    values: Mapping[str, Any],
    seed: int = 0,
    fixed: Mapping[str, Any] | None = None,
) -> Given:
    """Read values of a plan file or a form.

    Args:
        options: those there are.
        values: by the options' names.
        seed: of everything random.
        fixed: fields that are known already.

    Raises:
        InputError: a value is of the wrong kind, or one that must be given is missing.
    """
    read = {}
    for option in options:
        if option.name in values:
            read[option.name] = option.read(values[option.name])
        elif option.required:
            noun = "argument" if option.argument else "option"
            raise InputError(f"Missing {noun} '{option.flag}'.")
        else:
            read[option.name] = option.default
    return Given(read, seed, fixed or {})


@dataclass(frozen=True)
class Typed:
    """How the value of a field is made of what was given."""

    options: tuple[Option, ...]
    read: Callable[[Given], Any]
    """Raises InputError where that makes no value."""


CHANGE = Option(
    "change",
    "Heads and neurons to scale in every run, as L20H8=0.5; zeroed without a factor. @FILE reads "
    "an exported mask. Can be repeated.",
    metavar="PARTS[=FACTOR]",
    several=True,
    changes=True,
)
"""The variant that a step looks at, which all commands and plans take."""
SEED = Typed((), lambda given: given.seed)
"""The seed that all commands and plans take."""


def without_dashes(message: str, joint: str = "_") -> str:
    """A message about options in the words of a plan, `lora_layer`, or with a space of a form."""
    return _FLAG.sub(lambda match: match[1].replace("-", joint), message)


_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z-]*)")


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Say which option it was whose text cannot be read, or which case of a task."""
    try:
        yield
    except InputError as error:
        raise error.said_of(option) from error


def _as_it_is(value: Any) -> Any:
    return value


def single(option: Option, parse: Callable[[Any], Any] = _as_it_is) -> Typed:
    """A field with one option of its own.

    Args:
        option: what is typed.
        parse: makes the field's value of it; not asked where nothing is given. Raises InputError.
    """

    def read(given: Given) -> Any:
        value = given[option.name]
        if value is None:
            return None
        with naming(option.flag):
            return parse(value)

    return Typed((option,), read)


def typed_fields(model: type[BaseModel]) -> dict[str, Typed]:
    """The fields of a step or of a part of one that can be asked for in words."""
    found = {}
    for name, info in model.model_fields.items():
        own = next((each for each in info.metadata if isinstance(each, Typed)), None)
        if own is not None:
            found[name] = own
        elif info.description is not None:
            found[name] = by_type(name, info)
    return found


def options_of(fields: Iterable[Typed]) -> tuple[Option, ...]:
    """The options of some fields, each once; those that must be given come first."""
    options = {option.name: option for typed in fields for option in typed.options}
    return tuple(sorted(options.values(), key=lambda option: not option.required))


def by_type(name: str, info: FieldInfo, **more: Any) -> Typed:
    """How a field is typed that says no more than its type, default and description.

    Args:
        name: of the field, and of the option.
        info: what is declared of it.
        more: of the `Option`, as its metavar.
    """
    kind = _without_none(info.annotation)
    least = next((each.ge for each in info.metadata if hasattr(each, "ge")), None)
    default = REQUIRED if info.is_required() else info.default
    takes: type = str
    parse: Callable[[Any], Any] = _as_it_is
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        more.setdefault("names", lambda: choices)
        return Typed(
            (option := Option(name, info.description or "", default=default, **more),),
            lambda given: _chosen(option, choices, given[name]),
        )
    if get_origin(kind) is tuple:
        parse = _list_of(get_args(kind)[0])
        default = default if default in (None, REQUIRED) else ",".join(map(str, default))
    elif kind is Path:
        takes, parse = Path, portable
        more.setdefault("file", True)
    elif kind in (int, float, bool):
        takes = kind
    elif hasattr(kind, "parse"):
        parse = kind.parse
    option = Option(name, info.description or "", takes, default, least=least, **more)
    return single(option, parse)


def portable(path: Path) -> Path:
    """A path as records hold it: as it was typed, with ~ again where the shell put a home folder.

    Steps expand it. A record tells nobody whose machine it was made on.
    """
    home = Path.home()
    return Path("~") / path.relative_to(home) if path.is_relative_to(home) else path


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [each for each in get_args(annotation) if each is not type(None)]
        return kinds[0] if len(kinds) == 1 else annotation
    return annotation


def _chosen(option: Option, choices: tuple[str, ...], value: str | None) -> str | None:
    if value is not None and value not in choices:
        raise InputError(f"{option.flag} {value}: choose {' or '.join(choices)}")
    return value


def _list_of(kind: Any) -> Callable[[str], tuple[Any, ...]]:
    """Reads what is joined by commas."""

    def parse(text: str) -> tuple[Any, ...]:
        entries = [each.strip() for each in text.split(",")]
        if hasattr(kind, "parse"):
            return tuple(kind.parse(each) for each in entries)
        try:
            return tuple(TypeAdapter(kind).validate_python(each) for each in entries)
        except ValidationError as error:
            raise InputError(f"{text}: give numbers joined by commas, as 99,50,30") from error

    return parse
