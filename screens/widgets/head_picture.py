"""What one map of heads shows, and the difference of two such pictures."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite

from analysis.refs import HeadRef


@dataclass(frozen=True)
class HeadPicture:
    """A change for each head, known exactly or estimated."""

    values: dict[HeadRef, float] = field(default_factory=dict)
    exact: AbstractSet[HeadRef] = frozenset()
    """The heads whose values are no estimates."""
    by_size: bool = False
    """The largest come first, whatever their sign; else those that harm most."""

    @cached_property
    def ranked(self) -> list[tuple[HeadRef, float]]:
        """The heads known exactly, those that matter most first."""
        known = [(head, self.values[head]) for head in self.exact]
        # By name among equals: a set has no order of its own.
        known.sort(key=lambda pair: pair[0])
        return sorted(known, key=lambda pair: -abs(pair[1]) if self.by_size else pair[1])

    def most(self, count: int) -> list[HeadRef]:
        """The heads that matter most."""
        return [head for head, _ in self.ranked[:count]]

    def above(self, other: HeadPicture) -> HeadPicture:
        """This minus another, of the heads that both know; exact where both are."""
        shared = self.values.keys() & other.values.keys()
        values = {head: self.values[head] - other.values[head] for head in shared}
        return HeadPicture(values, self.exact & other.exact, by_size=True)


def scale_of(*pictures: HeadPicture) -> tuple[float, float]:
    """The lowest and the highest finite value of all of them."""
    values = [value for each in pictures for value in each.values.values() if isfinite(value)]
    return (min(values), max(values)) if values else (0.0, 0.0)
