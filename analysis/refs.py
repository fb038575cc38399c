"""Names of the parts of a model: head `L17H22`, neuron `L28N3696`, both zero-based."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from analysis.errors import InputError


@dataclass(frozen=True, order=True, slots=True)
class _Ref:
    layer: int
    index: int

    letter: ClassVar[str]
    noun: ClassVar[str]
    pattern: ClassVar[re.Pattern[str]]

    def __str__(self) -> str:
        return f"L{self.layer}{self.letter}{self.index}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name or one of its aliases.

        Raises:
            InputError: `text` names no such part.
        """
        match = cls.pattern.fullmatch(text.strip())
        if match is None:
            example = f"L17{cls.letter}22"
            raise InputError(f"{text!r} is not the name of a {cls.noun}; write it like {example}")
        return cls(int(match[1]), int(match[2]))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Steps hold references as values and their JSON holds names."""

        def validate(value: object) -> object:
            return value if isinstance(value, cls) else cls.parse(str(value))

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.to_string_ser_schema()
        )


@dataclass(frozen=True, order=True, slots=True)
class HeadRef(_Ref):
    """One query head of one layer. Aliases read: `17_22`, `17.22`, `a17.h22`."""

    letter: ClassVar[str] = "H"
    noun: ClassVar[str] = "head"
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:L|a)?(\d{1,5})(?:H|\.h|[._])(\d{1,6})", re.IGNORECASE
    )


@dataclass(frozen=True, order=True, slots=True)
class NeuronRef(_Ref):
    """One FFN neuron of one layer. Alias read: `m28.3696`."""

    letter: ClassVar[str] = "N"
    noun: ClassVar[str] = "neuron"
    pattern: ClassVar[re.Pattern[str]] = re.compile(
        r"(?:L(\d{1,5})N|m(\d{1,5})[._])(\d{1,7})", re.IGNORECASE
    )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name or its alias.

        Raises:
            InputError: `text` names no neuron.
        """
        match = cls.pattern.fullmatch(text.strip())
        if match is None:
            raise InputError(f"{text!r} is not the name of a neuron; write it like L28N3696")
        return cls(int(match[1] or match[2]), int(match[3]))


_NEITHER = "{text!r} names neither a head nor a neuron; write L20H8 or L3N7"


def parse_parts(text: str) -> tuple[tuple[HeadRef, ...], tuple[NeuronRef, ...]]:
    """Read a comma-separated list such as `L20H8,L3N7`.

    Returns:
        The heads and the neurons, each in the order given, without repeats.

    Raises:
        InputError: an entry is neither, or the list is empty.
    """
    heads: dict[HeadRef, None] = {}
    neurons: dict[NeuronRef, None] = {}
    for entry in _entries(text):
        if HeadRef.pattern.fullmatch(entry):
            heads[HeadRef.parse(entry)] = None
        elif NeuronRef.pattern.fullmatch(entry):
            neurons[NeuronRef.parse(entry)] = None
        else:
            raise InputError(_NEITHER.format(text=entry))
    return tuple(heads), tuple(neurons)


def parse_layers(text: str) -> tuple[int, ...]:
    """Read layers such as `9`, `3,9,20` or `0-29`.

    Returns:
        Each layer once, lowest first.

    Raises:
        InputError: an entry is neither a number nor a range, or the list is empty.
    """
    layers: set[int] = set()
    for entry in text.split(","):
        match = _LAYERS.fullmatch(entry.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            raise InputError(f"{text!r} names no layers; write 9, 3,9,20 or 0-29")
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


_LAYERS = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")


def _entries(text: str) -> Iterable[str]:
    entries = [entry.strip() for entry in text.split(",") if entry.strip()]
    if not entries:
        raise InputError(_NEITHER.format(text=text))
    return entries
