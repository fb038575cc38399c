"""`workbench hidden`: shallow neurons that speak only behind an attention layer."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.columns import COLUMNS
from workbench.cli.output import SHOWN
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def hidden(
    concepts: Annotated[
        str | None,
        typer.Option(
            "--concepts",
            help="What to look for: words joined by commas, or a text file with one a line. "
            "Else numbers and operations.",
            metavar="WORDS|FILE",
            show_default=False,
        ),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(
            "--layers",
            min=0,
            help="The last shallow layer; else the first half is shallow.",
            show_default=False,
        ),
    ] = None,
    top_tokens: Annotated[
        int, typer.Option("--top-tokens", min=1, help="Top tokens that may hold a concept.")
    ] = 50,
    top: Annotated[int, typer.Option("--top", min=1, help="How many rows to print.")] = SHOWN,
    *,
    run: Run,
) -> None:
    """Count the concepts that shallow neurons come to say behind attention layers."""
    from analysis.steps import HiddenStep
    from analysis.tasks.concepts import read_concepts

    step = HiddenStep(layers=layers, top_tokens=top_tokens)
    if concepts is not None:
        name, words = read_concepts(concepts)
        step = step.model_copy(update={"concepts": words, "concepts_name": name})
    run.step(step, shown=COLUMNS["hidden"], limit=top)
