"""The filter language of tables: words, layers and comparisons, all of which a row must meet.

eight          the name or a token contains it, in upper or lower case
"␣eight"       the same, with spaces or operators inside the quotes
L20, layer:20  rows of layer 20
L20N1493       a name, or how it begins or ends
tokens:eight   that column contains it
change>0.1     a comparison: > >= < <= = !=, with or without spaces
|change|>0.1   the same of the size, whatever the sign
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import polars as pl

_OPERATOR = r">=|<=|!=|==|=|>|<|≥|≤|≠"
_TERM = re.compile(rf'(?:"[^"]*"|(?<![\s"])\s*(?:{_OPERATOR})\s*(?=\S)|[^\s"])+')
_COMPARISON = re.compile(rf"(\|?)([A-Za-z_][\w -]*?)(\|?)\s*({_OPERATOR})\s*(.+)")
_HALF = re.compile(rf"(.*?)\s*({_OPERATOR})")
_BARE = re.compile(rf"\s*({_OPERATOR})\s*([-−]?[\d.]+)")
_FIELD = re.compile(r"([A-Za-z_]\w*):(.+)")
_LAYER = re.compile(r"L(\d+)", re.IGNORECASE)


class FilterError(ValueError):
    """The filter text says something a table cannot do; the message is for the user."""


def parse_filter(
    text: str, frame: pl.DataFrame, search: Sequence[str], labels: Mapping[str, str] | None = None
) -> pl.Expr | None:
    """Turn filter text into a condition on the rows of a frame.

    Args:
        text: the filter as typed.
        frame: the rows, of which only the columns matter here.
        search: columns that plain words are looked up in.
        labels: column headers by column name, which also name columns in comparisons.

    Returns:
        The condition, or None if the text asks for nothing.

    Raises:
        FilterError: a column is unknown or ambiguous, or a number is not one.
    """
    if not text.isascii() and text != text.encode("utf-8", "replace").decode():
        raise FilterError("the filter holds half a character")
    if text.count('"') % 2:
        raise FilterError('a " is not closed')
    terms = [_term(term, frame, search, labels or {}) for term in _TERM.findall(text)]
    return pl.all_horizontal(terms) if terms else None


def _term(
    term: str, frame: pl.DataFrame, search: Sequence[str], labels: Mapping[str, str]
) -> pl.Expr:
    if term.startswith('"'):
        return _contains(term.replace('"', ""), frame, search)
    if match := _COMPARISON.fullmatch(term):
        return _compare(match, frame, labels)
    if match := _BARE.fullmatch(term):
        example = next((name for name, dtype in frame.schema.items() if dtype.is_float()), "layer")
        raise FilterError(
            f"{term.strip()} of what? Name a column, as {example}{match[1]}{match[2]}"
        )
    half = _HALF.fullmatch(term)  # apart from a name before it, where a space ends it
    if half and (not half[1] or _find(half[1].strip("|"), frame, labels)):
        raise FilterError(f"{term.strip()} what? Write a number behind it")
    if (match := _FIELD.fullmatch(term)) and _find(match[1], frame, labels):
        return _field(match[1], match[2].replace('"', ""), frame, labels)
    if match := _LAYER.fullmatch(term):
        return _layer(int(match[1]), frame, search)
    return _contains(term.replace('"', ""), frame, search)


def _compare(match: re.Match[str], frame: pl.DataFrame, labels: Mapping[str, str]) -> pl.Expr:
    opened, name, closed, operator, wanted = match.groups()
    if opened != closed:
        raise FilterError(f"{match[0]}: write the size of a value as |{name}|")
    column = _column(name, frame, labels)
    dtype = frame.schema[column]
    if not dtype.is_numeric():
        if operator in ("=", "=="):
            return _equals(pl.col(column), wanted.strip('"'), dtype)
        raise FilterError(f"{name} holds text; compare numbers, or write {name}:{wanted}")
    value = pl.col(column)
    if dtype.is_float():
        value = value.fill_nan(None)
    if opened:
        value = value.abs()
    number = _number(wanted)
    conditions = {
        ">": value > number,
        ">=": value >= number,
        "≥": value >= number,
        "<": value < number,
        "<=": value <= number,
        "≤": value <= number,
        "=": value == number,
        "==": value == number,
        "!=": value != number,
        "≠": value != number,
    }
    return conditions[operator].fill_null(False)


def _equals(value: pl.Expr, wanted: str, dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.Boolean:
        return value == (wanted.lower() in ("true", "yes", "1"))
    if isinstance(dtype, pl.List):
        return value.list.contains(wanted).fill_null(False)
    return (value.cast(pl.String) == wanted).fill_null(False)


def _field(name: str, wanted: str, frame: pl.DataFrame, labels: Mapping[str, str]) -> pl.Expr:
    column = _column(name, frame, labels)
    if frame.schema[column].is_numeric():
        return (pl.col(column) == _number(wanted)).fill_null(False)
    return _contains(wanted, frame, [column])


def _layer(layer: int, frame: pl.DataFrame, search: Sequence[str]) -> pl.Expr:
    if "layer" in frame.columns:
        return (pl.col("layer") == layer).fill_null(False)
    return pl.any_horizontal(
        [
            pl.col(name).str.contains(rf"(?i)^L{layer}(?:\D|$)").fill_null(False)
            for name in search
            if frame.schema.get(name) == pl.String
        ]
        or [pl.lit(False)]
    )


def _contains(text: str, frame: pl.DataFrame, search: Sequence[str]) -> pl.Expr:
    # People see leading spaces as ␣ and may type them that way.
    wanted = text.replace("␣", " ").lower()
    conditions = []
    for name in search:
        dtype = frame.schema.get(name)
        if isinstance(dtype, pl.List) and dtype.inner == pl.String:
            values = pl.col(name).list.join("\x00", ignore_nulls=True)
        elif dtype == pl.String:
            values = pl.col(name)
        else:
            continue
        found = values.str.to_lowercase().str.contains(wanted, literal=True)
        conditions.append(found.fill_null(False))
    return pl.any_horizontal(conditions or [pl.lit(False)])


def _find(name: str, frame: pl.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """Columns that a typed name may mean: by name, by header, by the end of the name."""
    low = name.lower().strip()
    exact = [column for column in frame.columns if column.lower() == low]
    by_label = [c for c in frame.columns if labels.get(c, "").lower() == low]
    by_end = [column for column in frame.columns if column.lower().endswith(f"_{low}")]
    # A header may be shared by columns whose group heads tell them apart; the first is meant.
    return exact or by_label[:1] or by_end


def _column(name: str, frame: pl.DataFrame, labels: Mapping[str, str]) -> str:
    found = _find(name, frame, labels)
    if not found:
        numbers = [column for column, dtype in frame.schema.items() if dtype.is_float()]
        there = ", ".join((labels.get(column) or column) for column in numbers or frame.columns)
        raise FilterError(f'no column {name} ("quoted" it is text); there are {there}')
    if len(found) > 1:
        raise FilterError(f"{name} may be {' or '.join(found)}")
    return found[0]


def _number(text: str) -> float:
    try:
        return float(text.strip().replace("\u2212", "-").replace(",", ""))
    except ValueError:
        raise FilterError(f"{text} is not a number") from None
