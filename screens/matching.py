"""Lines found by a few letters of their words."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from textual.fuzzy import FuzzySearch

_SEARCH = FuzzySearch()
_MOST_WAYS = 2_000
"""Ways to find the letters of a word in a line; the search tries each of them."""


def best(search: str, lines: Sequence[str]) -> list[int]:
    """The places of the lines that fit what is typed, best first; equally good ones in their order.

    Every word that is typed has to be in a line: as it stands, or as the beginnings of words, `swh`
    for "sweep heads". A line that begins with all that is typed comes first.
    """
    typed, lowered = search.lower().strip(), [line.lower() for line in lines]
    words = typed.split()
    strengths = {}
    for place, line in enumerate(lowered):
        found = [_strength(word, line) for word in words]
        if all(found):
            strengths[place] = sum(found)
    return sorted(
        strengths, key=lambda place: (not lowered[place].startswith(typed), -strengths[place])
    )


def _strength(word: str, line: str) -> float:
    """How well a word fits a line; 0: not at all."""
    if word not in line and prod(line.count(letter) for letter in word) > _MOST_WAYS:
        return 0.0
    strength, places = _SEARCH.match(word, line)
    return strength if strength and (word in line or _beginnings(places, line)) else 0.0


def _beginnings(places: Sequence[int], line: str) -> bool:
    """Whether letters in these places are what words begin with."""
    starts = _SEARCH.get_first_letters(line)
    return all(
        place in starts or place == before + 1
        for before, place in zip((-2, *places), places, strict=False)
    )
