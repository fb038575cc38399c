"""`workbench inspect`: whether and where a model differs from a base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import options


def inspect(
    folder: Annotated[
        Path, typer.Argument(help="The model's folder.", metavar="DIR", show_default=False)
    ],
    base: Annotated[
        str, typer.Option("--base", help="What it may have been made of, like --model.")
    ],
    json: options.Json = False,
) -> None:
    """Say whether a model's weights differ from a base's: in which tensors, heads, neurons."""
    from dataclasses import asdict

    import polars as pl

    from analysis.errors import InputError
    from workbench.cli import narration, output
    from workbench.logs import start_logging
    from workbench.models import resolve, snapshot
    from workbench.quiet import quiet_libraries

    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}")
    start_logging()
    with narration.held_back():
        own = resolve(f"./{folder}" if not folder.is_absolute() else str(folder), narration.say)
        found = resolve(base, narration.say)
        place = found.location
        if isinstance(place, str):
            place, _ = snapshot(place, found.revision, narration.say)
        assert isinstance(own.location, Path)
        with quiet_libraries():
            from analysis.inspection import inspect as compare

            result = compare(own.location, place)
    rows = [asdict(each) for each in result.differences]
    if json:
        output.print_json(
            {
                "folder": folder.name,
                "base": found.name,
                "tensors": result.tensors,
                "verdict": result.verdict,
                "rows": rows,
            }
        )
        return
    if rows:
        parts = [row for row in rows if row["kind"] != "tensor"]
        tensors = [row for row in rows if row["kind"] == "tensor"]
        shown = ["kind", "name", "largest", "changed", "factor", "note"]
        table = pl.DataFrame([*parts, *tensors], infer_schema_length=None)
        output.print_table(table, f"{folder.name} beside {found.name}", shown)
    output.print_line(f"{folder.name} beside {found.name}: {result.verdict}")
