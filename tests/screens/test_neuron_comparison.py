"""Two rankings in one table, compared with looking every neuron up by hand."""

from __future__ import annotations

import random

import polars as pl
import pytest
from rich.style import Style

from analysis.columns import schema
from analysis.interventions import Intervention
from analysis.refs import HeadRef
from analysis.steps import CnaStep
from analysis.tasks.prompts import Prompt
from screens.neurons import alike, columns_of_two, rows_of_two
from screens.widgets.frame_table import TableLines
from screens.widgets.table_rows import Placed
from screens.workspace import InMemory, Result

STEP = CnaStep(prompt=Prompt(prompt="1 + 1 = "), ablate=Intervention(heads=(HeadRef(0, 0),)))
NAMES = [(layer, neuron) for layer in range(3) for neuron in range(40)]


def rows(places: list[tuple[int, int]], draw: random.Random, tokens: bool = True) -> pl.DataFrame:
    """Neurons with changes that are drawn."""
    known = [
        {"name": f"L{layer}N{neuron}", "layer": layer, "neuron": neuron, "tokens": ["a"]}
        | {"importance_change": draw.uniform(-1, 1)}
        for layer, neuron in places
    ]
    frame = pl.DataFrame(known, schema=dict(schema(STEP.columns)))
    return frame if tokens else frame.drop("tokens")


def ranking(seed: int, exact: int, estimated: bool) -> Result:
    draw = random.Random(seed)
    estimates = rows(NAMES, draw, tokens=False) if estimated else None
    held = InMemory(rows(draw.sample(NAMES, exact), draw), estimates)
    return Result(f"00{seed}-cna", STEP, "done", held)


def looked_up(result: Result) -> dict[str, tuple[float, bool, int | None]]:
    """Of each neuron the change, whether it is an estimate, and the rank among exact ones."""
    exact = sorted(result.rows.to_dicts(), key=lambda row: -row["importance_change"])
    found = (
        {}
        if result.estimates is None
        else {
            row["name"]: (row["importance_change"], True, None)
            for row in result.estimates.to_dicts()
        }
    )
    for rank, row in enumerate(exact, start=1):
        found[row["name"]] = (row["importance_change"], False, rank)
    return found


@pytest.mark.parametrize("a_estimated", [True, False])
@pytest.mark.parametrize("b_estimated", [True, False])
def test_each_neuron_has_what_either_ranking_knows_of_it(a_estimated, b_estimated):
    first, second = ranking(1, 30, a_estimated), ranking(2, 50, b_estimated)
    a, b = looked_up(first), looked_up(second)
    shown = rows_of_two(first, second)
    assert sorted(shown["name"]) == sorted(a.keys() | b.keys())
    for row in shown.to_dicts():
        mine, yours = (each.get(row["name"], (None, None, None)) for each in (a, b))
        assert (row["a"], row["estimated_a"], row["rank_a"]) == mine
        assert (row["b"], row["estimated_b"], row["rank_b"]) == yours
        assert row["name"] == f"L{row['layer']}N{row['neuron']}"
        assert row["tokens"] == (["a"] if row["rank_a"] or row["rank_b"] else None)
        assert row["estimated"] == (not row["rank_a"] and not row["rank_b"])
        if mine[0] is None or yours[0] is None:
            assert row["difference"] is None
        else:
            assert row["difference"] == pytest.approx(yours[0] - mine[0])
            assert row["estimated_either"] == (mine[1] or yours[1])
    # Those of the first in its order, then the others.
    assert shown["name"].to_list()[: len(a)] == first.table()["name"].to_list()


def test_how_many_top_neurons_two_rankings_share_is_counted():
    first, second = ranking(1, 30, True), ranking(2, 50, True)
    a, b = looked_up(first), looked_up(second)

    def top(ranked, count):
        return {name for name, (_, _, rank) in ranked.items() if rank and rank <= count}

    words = alike(rows_of_two(first, second)).plain
    assert f"{len(top(a, 10) & top(b, 10))} of the top 10 " in words
    # Only 30 are known exactly in both.
    assert f"{len(top(a, 30) & top(b, 30))} of the top 30 " in words
    shared = [(a[name][0], b[name][0]) for name in top(a, 99) & top(b, 99)]
    ranks = [
        [sorted(column).index(value) for value in column] for column in zip(*shared, strict=True)
    ]
    squares = sum((mine - yours) ** 2 for mine, yours in zip(*ranks, strict=True))
    spearman = 1 - 6 * squares / (len(shared) * (len(shared) ** 2 - 1))
    said = words.split("rank agreement ")[1].split()[0].replace("\N{MINUS SIGN}", "-")
    assert float(said) == pytest.approx(spearman, abs=0.006)
    assert f"over {len(shared)}" in words


def test_only_the_estimated_cell_of_a_row_says_so():
    columns = columns_of_two("cna")
    plain, dim = Style(color="white"), Style(color="grey50")
    placed = [Placed(column, column.width) for column in columns]
    lines = TableLines(placed, lambda part: dim if part == "estimated" else plain)
    row = {"name": "L0N1", "a": 0.5, "b": 0.25, "difference": -0.25, "rank_a": 3, "rank_b": None}
    row |= {"estimated_a": False, "estimated_b": True, "estimated_either": True}
    cells = lines.row(row, estimated=False, marked=False, cursor=False, width=100)
    by_text = {cell.text.strip(): cell.style for cell in cells}
    assert by_text["+0.500"].color == plain.color
    assert by_text["~+0.250"].color == dim.color
    assert by_text["~\N{MINUS SIGN}0.250"].color == dim.color
    assert by_text["3"].color == plain.color
    assert "–" in by_text
