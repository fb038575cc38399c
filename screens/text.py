"""Text for the terminal: hostile token text made visible, cells of exact width, numbers, durations.

Everything here returns plain `str`. Callers build `rich.text.Text` or `Segment`s from it and never
parse it as markup.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Literal

import polars as pl
from rich.cells import cell_len, get_character_cell_size

Align = Literal["left", "right", "center"]

NOTHING = "·"
"""Stands where a number is missing, so that columns keep their shape."""
MINUS = "\u2212"
SPACE = "␣"
ELLIPSIS = "…"

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\"}
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"})
# Blank although they count as letters or symbols: Hangul fillers and the empty braille cell.
_BLANK = frozenset("\u115f\u1160\u3164\uffa0\u2800")
_MARKS_PER_BASE = 2
"""Accents shown on one letter; a longer stack would paint over the lines above and below."""


@lru_cache(maxsize=8192)
def visible(token: str | None, *, quote: bool = True) -> str:
    r"""A token's text with everything a terminal would hide or obey written out.

    Spaces at the ends and runs of spaces become ␣; line ends, control and format characters (bidi
    controls and zero-width ones among them), lone surrogates and unassigned code points become
    escapes such as `\n`, `\x1b` or `\u202e`; backslashes and quotes are escaped, so that two
    different tokens never look the same. Right-to-left letters stay letters.

    Args:
        token: any string, valid Unicode or not; None, as a damaged record may hold, is `·`.
        quote: put the result in double quotes.
    """
    if token is None:
        return NOTHING
    body = "".join(_characters(token, quote))
    return f'"{body}"' if quote else body


def _characters(token: str, quote: bool) -> Iterator[str]:
    last = len(token) - 1
    marks = _MARKS_PER_BASE  # a mark with no letter before it is escaped
    for place, char in enumerate(token):
        if char == " ":
            alone = 0 < place < last and " " not in (token[place - 1], token[place + 1])
            yield " " if alone else SPACE
            marks = _MARKS_PER_BASE
        elif char == '"' and quote:
            yield '\\"'
            marks = 0
        elif unicodedata.category(char) in ("Mn", "Me") and not _is_selector(char):
            yield char if marks < _MARKS_PER_BASE else _escape(char)
            marks += 1
        elif _hides(char):
            yield _escape(char)
            marks = _MARKS_PER_BASE
        else:
            yield char
            marks = 0


def _hides(char: str) -> bool:
    """Whether a terminal would not show `char` as one visible glyph of a known width."""
    if " " <= char <= "~":
        return char == "\\"
    return (
        char == SPACE
        or char in _BLANK
        or unicodedata.category(char) in _UNSEEN_CATEGORIES
        or _is_selector(char)
        or "\U0001f1e6" <= char <= "\U0001f1ff"  # halves of flags, whose width depends on pairs
        or "\U0001f3fb" <= char <= "\U0001f3ff"  # skin tones, which join the emoji before them
        or get_character_cell_size(char) != _cells(char)
    )


def _cells(char: str) -> int:
    """Cells of a character that stands alone, by another Unicode than the one lines are cut by.

    Where the two disagree, as on signs that became wide lately, terminals do so too.
    """
    circled = "\u3248" <= char <= "\u324f"  # wide to the C library and so to tmux
    return 2 if circled or unicodedata.east_asian_width(char) in "WF" else 1


def _is_selector(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def one_line(text: str | None) -> str:
    """`text` on one line: what a terminal would hide or obey is escaped, spaces stay spaces."""
    if text is None:
        return NOTHING
    if text.isascii() and text.isprintable():
        return text
    pieces = []
    for place, char in enumerate(text):
        accent = unicodedata.category(char) in ("Mn", "Me") and not _is_selector(char)
        if accent:
            stack = text[max(0, place - _MARKS_PER_BASE) : place]
            based = any(unicodedata.category(before) not in ("Mn", "Me") for before in stack)
            pieces.append(char if based else _escape(char))
        elif char in ("\\", SPACE) or not _hides(char):
            pieces.append(char)
        else:
            pieces.append(_escape(char))
    return "".join(pieces)


def lines(text: str) -> str:
    """The same for text that may be of several lines: their ends stay."""
    return "\n".join(one_line(each) for each in text.split("\n"))


def cell_fit(text: str, width: int, align: Align = "left") -> str:
    """`text` cut (with …) or padded to exactly `width` terminal cells.

    Text that would break the line is escaped first, so the result is always safe to draw.
    """
    if width <= 0:
        return ""
    text = one_line(text)
    length = cell_len(text)
    if length > width:
        text, length = _cut(text, width)
    return pad(text, width - length, align)


def pad(text: str, space: int, align: Align) -> str:
    """`text` with `space` blanks around it, on the side or sides that `align` leaves free."""
    if space <= 0:
        return text
    if align == "right":
        return " " * space + text
    if align == "center":
        return " " * (space // 2) + text + " " * (space - space // 2)
    return text + " " * space


def _cut(text: str, width: int) -> tuple[str, int]:
    """The longest beginning that leaves room for …, and the cells it takes with it."""
    used = 0
    for place, char in enumerate(text):
        size = get_character_cell_size(char)
        if used + size > width - 1:
            return text[:place] + ELLIPSIS, used + 1
        used += size
    return text, used


def under_each_other(
    strips: Sequence[Sequence[str]], marked: int | None, width: int = 80
) -> list[str]:
    """Tokens of several prompts in columns, as many as fit, with a ^ under one of them.

    Args:
        strips: the tokens of each prompt.
        marked: the column with the mark, which is in sight; None: there is none.
        width: cells of a line at most.
    """
    columns = [
        [visible(token) if token is not None else "" for token in each]
        for each in zip_longest(*strips)
    ]
    widths = [max(map(cell_len, column)) + 1 for column in columns]
    start = marked or 0
    while start and sum(widths[start - 1 : (marked or 0) + 1]) < 2 * width // 3:
        start -= 1
    before = f"{ELLIPSIS} " if start else ""
    end, room = start, width - 2 * cell_len(before)
    while end < len(columns) and (room := room - widths[end]) >= 0:
        end += 1
    shown = range(start, max(end, start + 1))
    found = [
        before + "".join(cell_fit(columns[place][row], widths[place]) for place in shown)
        for row in range(len(strips))
    ]
    found = [line.rstrip() + (f" {ELLIPSIS}" if end < len(columns) else "") for line in found]
    if marked is not None:
        found.append(" " * (len(before) + sum(widths[start:marked])) + "^")
    return found


def tab_separated(frame: pl.DataFrame) -> str:
    """Rows under a header, as a spreadsheet takes them; a list of tokens is one cell.

    What a terminal would obey is escaped: what is copied is pasted anywhere.
    """
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    tokens = pl.element().cast(pl.String).map_elements(visible, return_dtype=pl.String)
    cells = [pl.col(name).list.eval(tokens).list.join(" ") for name in lists]
    texts = [
        pl.col(name).map_elements(one_line, return_dtype=pl.String)
        for name, dtype in frame.schema.items()
        if dtype == pl.String
    ]
    return frame.with_columns(*cells, *texts).write_csv(separator="\t")


def number(value: float | None, decimals: int = 2, sign: bool = False) -> str:
    """`value` with grouped thousands and a true minus sign; a missing number is `·`.

    Args:
        value: the number; None and NaN are missing.
        decimals: digits after the point.
        sign: write `+` before numbers that stay above zero after rounding.
    """
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return (MINUS if value < 0 else "+" if sign else "") + "∞"
    digits = f"{abs(value):,.{decimals}f}"
    if not any("1" <= digit <= "9" for digit in digits):
        return digits  # rounds to zero: a sign would claim more than the digits show
    return (MINUS if value < 0 else "+" if sign else "") + digits


def figure(value: float | None, sign: bool = False) -> str:
    """A number of unknown size: three figures behind the point of small ones, fewer of large."""
    size = abs(value or 0)
    return number(value, 3 if size < 10 else 2 if size < 100 else 1, sign)


def tokens_of(value: Iterable[str] | None) -> str:
    """A list of tokens in one cell; of none, nothing."""
    return " ".join(visible(token, quote=False) for token in value) if value else ""


def probability(value: float | None) -> str:
    """A probability with three decimals."""
    return number(value, 3)


def logprob(value: float | None, sign: bool = False) -> str:
    """A log-probability, or with `sign` a change of one, in nats with three decimals."""
    return number(value, 3, sign)


def coefficient(value: float | None) -> str:
    """A coefficient score with two decimals."""
    return number(value, 2)


def count(value: int | None) -> str:
    """A whole number with grouped thousands."""
    return number(value, 0)


def size(value: int) -> str:
    """Bytes on disk in the unit that fits: `812 kB`, `4.1 MB`, `1.2 GB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if value >= scale:
            return f"{number(value / scale, 1)} {unit}"
    return f"{number(value / 1e3, 0 if value >= 9_950 else 1)} kB"


def counted(number: int, noun: str) -> str:
    """How many of something that takes an s in the plural: `1 step`, `2 steps`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def how_far(
    done: int, expected: int | None, elapsed: float | None = None, left: float | None = None
) -> str:
    """How far long work is, in the words of screens and commands: `212 of 270 · 14 s · 11 s left`.

    Args:
        done: finished rows.
        expected: rows there will be; None if nobody knows yet.
        elapsed: seconds since it began; None if unknown.
        left: seconds the rest will take; None if unknown.
    """
    words = [] if expected is None else [f"{count(done)} of {count(expected)}"]
    words += [] if elapsed is None else [duration(elapsed)]
    words += [] if left is None else [f"{duration(left)} left"]
    return " · ".join(words)


def duration(seconds: float | None) -> str:
    """A time span in the two units that matter: `0.4 s`, `11 s`, `2 min 05 s`, `1 h 04 min`."""
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    seconds = max(0.0, seconds)
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def age(seconds: float | None) -> str:
    """How long ago, in the one unit that matters: `12 s`, `5 min`, `3 h`, `9 d`."""
    if seconds is None:
        return NOTHING
    for unit, size, limit in (("s", 1, 60), ("min", 60, 3_600), ("h", 3_600, 86_400)):
        if seconds < limit:
            return f"{int(seconds / size)} {unit}"
    return f"{count(int(seconds / 86_400))} d"


def strings(value: Any) -> list[str]:
    """The texts in a list of untrusted JSON; nothing if it is no list."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
