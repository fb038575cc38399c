"""Cases of arithmetic read back from what they say, by means of their own."""

from __future__ import annotations

import re

from analysis.tasks.arithmetic import number_words

PLAIN = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


UNITS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
UNITS += " fifteen sixteen seventeen eighteen nineteen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
VALUES = {word: value for value, word in enumerate(UNITS.split())}
VALUES |= {word: 10 * ten for ten, word in enumerate(TENS.split(), start=2)}


def number_in(text: str) -> int:
    """The number that numerals or words say."""
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    total = below = 0
    for word in re.split("[ -]", text.replace(" and ", " ")):
        if word == "thousand":
            total, below = total + 1000 * below, 0
        elif word == "hundred":
            below *= 100
        else:
            below += VALUES[word]
    return total + below


VERBS = "plus|minus|times|divided by"
PATTERNS = {
    "bare": r"(?P<a>.+) (?P<o>[-+*/]) (?P<b>.+) = (?P<c>.+)",
    "equation": rf"(?P<a>.+) (?P<o>{VERBS}) (?P<b>.+) equals (?P<c>.+)",
    "phrase": r"The (?P<o>sum|difference|product|quotient) of (?P<ab>.+) is (?P<c>.+)",
    "question": rf"Q: What is (?P<a>.+) (?P<o>{VERBS}) (?P<b>.+)\? A: (?P<c>.+)",
}
SAID = {"plus": "+", "minus": "-", "times": "*", "divided by": "/"}
SAID |= {"sum": "+", "difference": "-", "product": "*", "quotient": "/"}


def both_numbers(text: str) -> tuple[int, int]:
    """What "a and b" says, where there is an "and" in most numbers too."""
    parts = text.split(" and ")
    for split in range(1, len(parts)):
        sides = " and ".join(parts[:split]), " and ".join(parts[split:])
        try:
            a, b = (number_in(side) for side in sides)
        except KeyError:
            continue
        if all(side in (str(n), number_words(n)) for side, n in zip(sides, (a, b), strict=True)):
            return a, b
    raise AssertionError(text)


def read(line: str) -> tuple[str, tuple[int, str, int, int]]:
    """The style of a line and what it says."""
    for style, pattern in PATTERNS.items():
        if found := re.fullmatch(pattern, line):
            said = found.groupdict()
            a, b = (
                both_numbers(said["ab"])
                if "ab" in said
                else (number_in(said["a"]), number_in(said["b"]))
            )
            return style, (a, SAID.get(said["o"], said["o"]), b, number_in(said["c"]))
    raise AssertionError(line)
