"""Two rankings of neurons as one table: what each neuron is in both, and how far it is apart."""

from __future__ import annotations

from typing import Any

import polars as pl
from rich.text import Text

from screens.neuron_columns import NAME, SAYS, VALUES
from screens.text import number
from screens.widgets.table_column import TableColumn
from screens.workspace import Result

MISSING = "–"
"""Stands for what a ranking does not know of a neuron."""
TOPS = (10, 100)
"""By how many of the top neurons two rankings are compared."""


def columns_of_two(kind: str) -> list[TableColumn]:
    """The columns of two rankings of a kind: the values they are ranked by, and the ranks."""
    value, wide = VALUES[kind]
    return [
        NAME,
        _column(value, "a", "A", "estimated_a"),
        _column(value, "b", "B", "estimated_b"),
        TableColumn("difference", "B − A", 8, "right", _signed, estimated="estimated_either"),
        TableColumn("rank_a", "rank A", 6, "right", _rank, descending=False),
        TableColumn("rank_b", "rank B", 6, "right", _rank, descending=False),
        *(
            _column(each, f"{each.name}_{side}", side.upper(), f"estimated_{side}", 120)
            for each in wide
            for side in "ab"
        ),
        SAYS,
    ]


def _column(
    of: TableColumn, name: str, letter: str, estimated: str, min_terminal_width: int = 0
) -> TableColumn:
    """A column of one ranking for one of two."""

    def words(value: Any) -> str:
        return MISSING if value is None else of.format(value)

    label = f"{of.label} {letter}"
    width = max(of.width, len(label) + 1)  # the arrow of the order goes beside the label
    return TableColumn(
        name,
        label,
        width,
        "right",
        words,
        min_terminal_width=min_terminal_width,
        estimated=estimated,
    )


def _signed(value: float | None) -> str:
    return MISSING if value is None else number(value, 3, sign=True)


def _rank(value: int | None) -> str:
    return MISSING if value is None else number(value, 0)


def rows_of_two(first: Result, second: Result) -> pl.DataFrame:
    """The neurons of two rankings of one kind, those of the first in its order, then the others.

    Returns:
        `name`, `layer`, `neuron`; `a` and `b`, what the kind ranks by; `difference`, `b` minus
        `a`; the exact ranks `rank_a` and `rank_b`; which values are estimates; further columns
        of each with its letter; `tokens`. What one of the two does not know is null.
    """
    a, b = _side(first, "a", first.table()), _side(second, "b", _unordered(second))
    others = b.join(a.select(_PLACE), on=_PLACE, how="anti", maintain_order="left")
    both = pl.concat(
        [
            a.join(b.drop("name"), on=_PLACE, how="left", maintain_order="left"),
            others.sort("rank_b", "b", descending=[False, second.step.descending], nulls_last=True),
        ],
        how="diagonal_relaxed",
    )
    shared = ("layer", "neuron", "tokens", *(["through"] if "through_a" in a.columns else []))
    return both.with_columns(
        *(pl.coalesce(f"{name}_a", f"{name}_b").alias(name) for name in shared),
        difference=pl.col("b") - pl.col("a"),
        estimated_either=pl.any_horizontal("estimated_a", "estimated_b"),
        # A whole row looks estimated where nothing exact is known of it.
        estimated=pl.all_horizontal(
            pl.col("estimated_a").fill_null(True), pl.col("estimated_b").fill_null(True)
        ),
    ).drop(_PLACE, *(f"{name}_{side}" for name in shared for side in "ab"))


_PLACE = "place"
"""Layer and index in one number: joining hundreds of thousands of names takes ten times longer."""


def _unordered(result: Result) -> pl.DataFrame:
    """The rows of `Result.table`, without the time it takes to put the estimates in order."""
    exact = result.step.ranked(result.rows).with_columns(estimated=pl.lit(False))
    if result.estimates is None:
        return exact
    others = result.estimates.join(exact.select("name"), on="name", how="anti")
    return pl.concat([exact, others.with_columns(estimated=pl.lit(True))], how="diagonal_relaxed")


def _side(result: Result, side: str, rows: pl.DataFrame) -> pl.DataFrame:
    """One ranking, exact rows first, with its columns named by a letter."""
    _, wide = VALUES[result.step.kind]
    names = ["layer", "neuron", "tokens", *(each.name for each in wide)]
    if "through" in rows.columns:
        names.append("through")
    rank = pl.when(~pl.col("estimated")).then(pl.int_range(1, pl.len() + 1))
    return rows.select(
        "name",
        pl.col(result.step.ranked_by).alias(side),
        rank.alias(f"rank_{side}"),
        pl.col("estimated").alias(f"estimated_{side}"),
        *(pl.col(name).alias(f"{name}_{side}") for name in names),
        (pl.col("layer").cast(pl.Int64) * 2**32 + pl.col("neuron")).alias(_PLACE),
    )


def alike(rows: pl.DataFrame) -> Text:
    """How many of the top neurons two rankings share, and whether they order them alike."""
    text = Text().append(" in both  ", style="dim")
    ranks = rows.select("rank_a", "rank_b")
    known = min(ranks["rank_a"].count(), ranks["rank_b"].count())
    shared = [
        f"{ranks.filter(pl.all_horizontal(pl.all() <= top)).height} of the top {top}"
        for top in sorted({min(top, known) for top in TOPS} - {0})
    ]
    if not shared:
        return text.append("nothing exact yet", style="dim")
    text.append(" · ".join(shared), style="bold")
    exact = rows.filter(~pl.col("estimated_either"))
    if exact.height > 2:
        agreement = exact.select(pl.corr("a", "b", method="spearman")).item()
        words = f"   rank agreement {number(agreement, 2)} over {number(exact.height, 0)}"
        text.append(words, style="dim")
    return text
