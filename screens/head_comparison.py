"""What two head sweeps say together, in words beside the maps and as rows to copy."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.text import Text

from analysis.refs import HeadRef
from screens.text import logprob, number
from screens.widgets.head_picture import HeadPicture
from screens.workspace import Result

ALIKE = 10
"""How many of the top heads two runs are compared by."""
MISSING = "–"
"""Stands for what a run does not know of a head."""


def reading_of_two(
    head: HeadRef, runs: tuple[Result, Result], shown: tuple[HeadPicture, HeadPicture]
) -> Text:
    """The numbers of one head in both runs, and how far they are apart."""
    text = Text().append(f"{head}\n\n", style="bold")
    a, b = shown
    apart = b.above(a)
    text.append("change\n", style="dim")
    for letter, each in (("A", a), ("B", b), ("B−A", apart)):
        known = "" if head in each.exact or head not in each.values else "~"
        words = known + number(each.values.get(head), 3, sign=True)
        text.append(f" {letter:<3}{words:>8}\n", style="bold" if each is apart else "")
    ranks = [[ref for ref, _ in each.ranked()] for each in shown]
    rows = [_row(result, head) for result in runs]
    for label, two in (
        ("rank", [str(each.index(head) + 1) if head in each else MISSING for each in ranks]),
        ("accuracy", [MISSING if row is None else f"{row['accuracy']:.1%}" for row in rows]),
        ("log-prob", [MISSING if row is None else logprob(row["logprob"]) for row in rows]),
    ):
        text.append(f"{label}\n", style="dim")
        for letter, words in zip("AB", two, strict=True):
            text.append(f" {letter:<3}{words:>8}\n")
    text.rstrip()
    return text


def _row(result: Result, head: HeadRef) -> dict[str, Any] | None:
    found = result.rows.filter(pl.col("name") == str(head)).head(1).to_dicts()
    return found[0] if found else None


def alike(a: HeadPicture, b: HeadPicture) -> Text:
    """How far two runs rank the heads alike: which of the top ones they share, and the order."""
    top, shared = (set(each.most(ALIKE)) for each in (a, b)), a.exact & b.exact
    text = Text().append(f" {'in both':<12}", style="dim")
    if not shared:
        return text.append("no head", style="dim")
    both = sorted(set.intersection(*top))
    text.append(f"{len(both)} of the top {min(ALIKE, len(a.exact), len(b.exact))}", style="bold")
    pairs = pl.DataFrame(
        [(a.values[head], b.values[head]) for head in shared], ["a", "b"], orient="row"
    )
    agreement = (
        pairs.select(pl.corr("a", "b", method="spearman")).item() if len(shared) > 2 else None
    )
    text.append(f"   rank agreement {number(agreement, 2)}", style="dim")
    return text


def most_apart(apart: HeadPicture, count: int) -> Text:
    """The heads in whose change two runs differ most, on one line."""
    text = Text().append(f" {'most apart':<12}", style="dim")
    for ref, value in apart.ranked()[:count]:
        text.append(f"{ref} ", style="bold").append(f"{number(value, 2, sign=True)}   ")
    text.rstrip()
    return text


def rows_of_two(a: HeadPicture, b: HeadPicture, only: HeadRef | None = None) -> pl.DataFrame:
    """The exact changes of both runs and how far they are apart, the farthest first."""
    heads = [head for head, _ in b.above(a).ranked() if only is None or head == only]
    return pl.DataFrame(
        {
            "name": [str(head) for head in heads],
            "change_a": [a.values[head] for head in heads],
            "change_b": [b.values[head] for head in heads],
        },
        schema={"name": pl.String, "change_a": pl.Float64, "change_b": pl.Float64},
    ).with_columns(difference=pl.col("change_b") - pl.col("change_a"))
