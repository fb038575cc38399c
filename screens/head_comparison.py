"""What two head sweeps say together, in words beside the maps and as rows to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from rich.text import Text

from analysis.refs import HeadRef
from analysis.steps import HeadsStep
from screens.text import logprob, number
from screens.widgets.head_picture import HeadPicture
from screens.workspace import Result

ALIKE = 10
"""How many of the top heads two runs are compared by."""
SPACIOUS = 6
"""Lines of a reading from which the name of the head has one of its own, and a blank one below."""
MISSING = "–"
"""Stands for what a run does not know of a head."""


def reading_of_two(
    head: HeadRef, runs: Sequence[Result], shown: Sequence[HeadPicture], lines: int
) -> Text:
    """The numbers of one head in both runs, and how far they are apart.

    Args:
        head: the head.
        runs: the two sweeps.
        shown: what is drawn of each.
        lines: how many there are; of what does not fit whole nothing is shown, least worth first.
    """
    text = Text().append(str(head), style="bold")
    a, b = shown
    apart = b.above(a)
    text.append("\n\nchange\n" if lines >= SPACIOUS else " change\n", style="dim")
    for letter, each in (("A", a), ("B", b), ("B−A", apart)):
        known = "" if head in each.exact or head not in each.values else "~"
        words = known + number(each.values.get(head), 3, sign=True)
        text.append(f" {letter:<3}{words:>8}\n", style="bold" if each is apart else "")
    ranks = [[ref for ref, _ in each.ranked] for each in shown]
    rows = [_row(result, head) for result in runs]
    for label, two in (
        ("rank", [str(each.index(head) + 1) if head in each else MISSING for each in ranks]),
        ("accuracy", [MISSING if row is None else f"{row['accuracy']:.1%}" for row in rows]),
        ("log-prob", [MISSING if row is None else logprob(row["logprob"]) for row in rows]),
    ):
        if text.plain.count("\n") + 1 + len(two) > lines:
            break
        text.append(f"{label}\n", style="dim")
        for letter, words in zip("AB", two, strict=True):
            text.append(f" {letter:<3}{words:>8}\n")
    text.rstrip()
    return text


def _row(result: Result, head: HeadRef) -> dict[str, Any] | None:
    found = result.rows.filter(pl.col("name") == str(head)).head(1).to_dicts()
    return found[0] if found else None


def apart(a: HeadPicture, b: HeadPicture, count: int) -> Text:
    """The heads in whose change two runs differ most, and under them how far they are alike."""
    text = Text().append(f" {'most apart':<12}", style="dim")
    for ref, value in b.above(a).ranked[:count]:
        text.append(f"{ref} ", style="bold").append(f"{number(value, 2, sign=True)}   ")
    text.rstrip()
    return text.append(f"\n {'in both':<12}", style="dim").append_text(_alike(a, b))


def ranking_of_two(a: HeadPicture, b: HeadPicture, lines: int) -> Text:
    """The heads in whose change two runs differ most, with their numbers, on so many lines."""
    # What differs comes first: a narrow place cuts what the reading tells anyway.
    text = Text().append(f"{'apart':<8}{'B − A':>8}{'A':>9}{'B':>9}", style="dim")
    for ref, value in b.above(a).ranked[: lines - 1]:
        text.append(f"\n{ref!s:<8}{number(value, 3, sign=True):>8}", style="bold")
        for each in (a.values[ref], b.values[ref]):
            text.append(f"{number(each, 3, sign=True):>9}")
    return text


def _alike(a: HeadPicture, b: HeadPicture) -> Text:
    """Which of the top heads two runs share, and whether they rank the others alike."""
    shared = a.exact & b.exact
    if not shared:
        return Text("no head yet", style="dim")
    top = min(ALIKE, len(a.exact), len(b.exact))
    both = set(a.most(top)) & set(b.most(top))
    text = Text().append(f"{len(both)} of the top {top}", style="bold")
    if len(shared) > 2:
        values = {
            "a": [a.values[head] for head in shared],
            "b": [b.values[head] for head in shared],
        }
        agreement = pl.DataFrame(values).select(pl.corr("a", "b", method="spearman")).item()
        text.append(f"   rank agreement {number(agreement, 2)}", style="dim")
    return text


def shared_groups(*sweeps: Result) -> list[str]:
    """The groups that the prompts of all these sweeps have."""
    sets = [each.step.prompts.groups for each in sweeps if isinstance(each.step, HeadsStep)]
    return [group for group in sets[0] if all(group in each for each in sets)] if sets else []


def rows_of_two(a: HeadPicture, b: HeadPicture, only: HeadRef | None = None) -> pl.DataFrame:
    """The exact changes of both runs and how far they are apart, the farthest first."""
    heads = [head for head, _ in b.above(a).ranked if only is None or head == only]
    return pl.DataFrame(
        {
            "name": [str(head) for head in heads],
            "change_a": [a.values[head] for head in heads],
            "change_b": [b.values[head] for head in heads],
        },
        schema={"name": pl.String, "change_a": pl.Float64, "change_b": pl.Float64},
    ).with_columns(difference=pl.col("change_b") - pl.col("change_a"))
