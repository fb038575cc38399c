"""`workbench models`: which models are known, and fetching them."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import completing, options

app = typer.Typer(help="List and fetch models.", no_args_is_help=False)


@app.command("ls")
def ls(json: options.Json = False) -> None:
    """List the models of the catalogue and where they lie."""
    import polars as pl

    from workbench.cli import output
    from workbench.models import catalogue

    rows = [
        {
            "name": each.name,
            "parameters": each.parameters,
            "licence": each.licence,
            "mb": round(each.size / 1e6),
            "fetched": each.present,
            "folder": str(each.folder),
        }
        for each in catalogue()
    ]
    if json:
        output.print_json(rows)
    else:
        output.print_table(pl.DataFrame(rows), "Models", list(rows[0]))


@app.command("fetch")
def fetch(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Like --model; else the default model.", autocompletion=completing.models
        ),
    ] = None,
) -> None:
    """Download a model of the catalogue, check its hash and say where it lies."""
    from workbench.cli import narration
    from workbench.models import resolve

    wanted = name or options.settings().model
    found = resolve(wanted, narration.say)
    narration.say(f"{wanted} lies in {found.location}")
