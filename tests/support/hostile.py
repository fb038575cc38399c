"""Texts that a tokenizer, a prompt or somebody's session may hold, and what must not pass."""

from __future__ import annotations

import random
import unicodedata
from functools import cache

NASTY = (
    "[bold red]x[/] [@click=app.quit]q[/] [link=https://a.b]l[/link]"
    "\x1b[31m\x1b]52;c;eA==\x07\x9b31m\x90\u202e\u2066z\u200d\u200b\ufe0f\x00\t\u2028\u2029n\r\n"
    "\U000e0041\U0001f469\u200d\U0001f4bb1\ufe0f\u20e3\U0001f1e9\U0001f1ea\U0001f44d\U0001f3fde"
    "\u0301\u0301\u0301\u65e5\u672c\u1100\u1161\u0915\u094d\u0937\u093f\u2630\u3248\ufeff\xad"
)
"""One of everything."""
_RANGES = (
    (0x00, 0x250),
    (0x300, 0x370),
    (0x590, 0x700),
    (0x900, 0xE80),
    (0x1100, 0x1200),
    (0x2000, 0x2070),
    (0x2600, 0x2800),
    (0x3000, 0x3400),
    (0xD800, 0xE100),
    (0xFE00, 0xFF00),
    (0x1F1E0, 0x1FB00),
    (0xE0000, 0xE0200),
)


def tokens(count: int, seed: int = 0) -> list[str]:
    """Random short texts of what terminals obey, hide, join or draw wide; always the same."""
    chance = random.Random(seed)
    pieces = NASTY.split(" ")
    return [
        chance.choice(pieces)
        if chance.random() < 0.05
        else "".join(
            chr(chance.randrange(*chance.choice(_RANGES))) for _ in range(chance.randrange(9))
        )
        for _ in range(count)
    ]


def harmless(text: str) -> bool:
    """Whether a terminal shows each character of `text`, obeys none and joins no two."""
    return all(map(_shown, set(text)))


def cells(text: str) -> int:
    """How wide it is, by Unicode's own table: marks take no cell, wide characters two."""
    return sum(map(_cells, text))


@cache
def _shown(char: str) -> bool:
    joins = (("\ufe00", "\ufe0f"), ("\U0001f1e6", "\U0001f1ff"), ("\U0001f3fb", "\U0001f3ff"))
    if any(first <= char <= last for first, last in joins):
        return False
    return char == " " or unicodedata.category(char)[0] not in "CZ"


@cache
def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
