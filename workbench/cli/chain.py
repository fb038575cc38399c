"""`workbench chain`: the four stages of one case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from screens.text import cell_fit, number, visible
from workbench.cli import options
from workbench.cli.shared import Run, runs_a_step

if TYPE_CHECKING:
    import polars as pl

SHOWN = 2
"""Edges and tokens of a node on the terminal."""
SAYS = 22
"""Cells of the tokens: a line of the table has 120."""
COLUMNS = ["stage", "name", "reads", "score", "m", "without", "feeds", "says"]


@runs_a_step
def chain(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="The head to build it around; else the costliest one."),
    ] = None,
    deep: Annotated[int, typer.Option("--deep", min=1, help="How many deep neurons.")] = 6,
    shallow: Annotated[
        int, typer.Option("--shallow", min=1, help="How many shallow neurons and words.")
    ] = 8,
    layers: Annotated[
        int, typer.Option("--layers", min=1, help="How many attention layers below the head.")
    ] = 4,
    *,
    run: Run,
) -> None:
    """Follow one case from its words through attention and a head to the answer."""
    from analysis.refs import HeadRef
    from analysis.steps import ChainStep

    with options.naming("--head"):
        around = None if head is None else HeadRef.parse(head)
    step = ChainStep(
        prompt=options.free_prompt(prompt, answer),
        head=around,
        deep=deep,
        shallow=shallow,
        layers=layers,
    )
    run.step(step, shown=COLUMNS, reads=step.prompt, view=readable)


def readable(rows: pl.DataFrame) -> pl.DataFrame:
    """Nodes with their strongest edges, and what they say behind attention where they go there."""
    import polars as pl

    words = [
        {
            "reads": "" if node["reads"] is None else visible(node["reads"]),
            "feeds": edges(node["to"], node["weight"]),
            "says": _says(node["tokens_through"] or node["tokens"]),
        }
        for node in rows.to_dicts()
    ]
    schema = dict.fromkeys(("reads", "feeds", "says"), pl.String)
    shorter = {"coefficient": "m", "prob_without": "without"}
    return rows.drop("reads").rename(shorter).hstack(pl.DataFrame(words, schema=schema))


def _says(tokens: list[str]) -> str:
    return cell_fit(" ".join(map(visible, tokens[:SHOWN])), SAYS).rstrip()


def edges(to: list[str], weight: list[float]) -> str:
    """The strongest edges of a node."""
    pairs = sorted(zip(to, weight, strict=True), key=lambda pair: -abs(pair[1]))
    return "  ".join(f"{name} {number(value, 2, sign=True)}" for name, value in pairs[:SHOWN])
