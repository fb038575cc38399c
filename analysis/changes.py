"""Staged changes: which factor each head and neuron is multiplied by. The last one counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef

Part: TypeAlias = HeadRef | NeuronRef
NAMED = 3
"""Parts that a summary names; more are counted."""


@dataclass(frozen=True)
class Changes:
    """Heads and neurons with their factors, in the order they were staged."""

    factors: tuple[tuple[Part, float], ...] = ()
    """Each part once."""

    @classmethod
    def of(cls, interventions: Iterable[Intervention]) -> Changes:
        """Stage interventions one after the other; the same part staged again takes its place."""
        factors: dict[Part, float] = {}
        for each in interventions:
            parts: tuple[Part, ...] = (*each.heads, *each.neurons)
            for part in parts:
                factors.pop(part, None)
                factors[part] = each.factor
        return cls(tuple(factors.items()))

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Changes:
        """Read `L24N1493`, `L20H8=0.5`, `L3N7,L3N8=2`; without a factor parts are zeroed.

        Raises:
            InputError: a text is not of that form.
        """
        return cls.of(parse_change(text) for text in texts)

    def __bool__(self) -> bool:
        return bool(self.factors)

    def __len__(self) -> int:
        return len(self.factors)

    def merged(self, later: Iterable[Intervention]) -> Changes:
        """These and others staged after them."""
        return Changes.of((*self.interventions, *later))

    def without(self, parts: Iterable[Part]) -> Changes:
        """These but for some parts, which are left as they are."""
        gone = set(parts)
        return Changes(tuple(each for each in self.factors if each[0] not in gone))

    @property
    def interventions(self) -> tuple[Intervention, ...]:
        """The form that steps hold: parts of the same factor together."""
        return tuple(
            Intervention(
                heads=tuple(part for part in parts if isinstance(part, HeadRef)),
                neurons=tuple(part for part in parts if isinstance(part, NeuronRef)),
                factor=factor,
            )
            for factor, parts in self._by_factor().items()
        )

    @property
    def texts(self) -> tuple[str, ...]:
        """The form of the command line; `parse` reads it back."""
        return tuple(
            ",".join(map(str, parts)) + ("" if factor == 0 else f"={factor!r}")
            for factor, parts in self._by_factor().items()
        )

    @property
    def heads(self) -> tuple[HeadRef, ...]:
        """The heads among the parts."""
        return tuple(part for part, _ in self.factors if isinstance(part, HeadRef))

    @property
    def neurons(self) -> tuple[NeuronRef, ...]:
        """The neurons among the parts."""
        return tuple(part for part, _ in self.factors if isinstance(part, NeuronRef))

    def __str__(self) -> str:
        """For people: `L24N1493 zeroed, L20H8 × 0.5`, or how many where there are many."""
        return ", ".join(self._words())

    def _words(self) -> Iterator[str]:
        for each in self.interventions:
            named = len(each.heads) + len(each.neurons) <= NAMED
            counts = (_count(len(each.heads), "head"), _count(len(each.neurons), "neuron"))
            names = each.names if named else " and ".join(filter(None, counts))
            yield f"{names} {each.verb}"

    def _by_factor(self) -> Mapping[float, list[Part]]:
        found: dict[float, list[Part]] = {}
        for part, factor in self.factors:
            found.setdefault(factor, []).append(part)
        return found


def parse_change(text: str) -> Intervention:
    """Read one change such as `L24N1493,L20H8=0.5`.

    Raises:
        InputError: the parts are none, or the factor is no number.
    """
    parts, equals, factor = text.partition("=")
    if not equals:
        return Intervention.parse(parts)
    try:
        number = float(factor)
    except ValueError as error:
        raise InputError(f"{text!r}: the factor {factor!r} is not a number") from error
    return Intervention.parse(parts, number)


def _count(number: int, noun: str) -> str:
    return "" if number == 0 else f"{number:,} {noun}{'' if number == 1 else 's'}"
