"""`workbench inspect`: whether and where a model differs from a base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import options


def inspect(
    folder: Annotated[
        Path, typer.Argument(help="The model's folder.", metavar="DIR", show_default=False)
    ],
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="What it may have been made of, like --model; else what an export says itself.",
        ),
    ] = None,
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
        if base is None:
            base = _recorded_base(folder)
            narration.say(f"beside {base}, which {folder.name} says it was made of")
        own = resolve(f"./{folder}" if not folder.is_absolute() else str(folder), narration.say)
        found = resolve(base, narration.say)
        place = found.location
        if isinstance(place, str):
            place, _ = snapshot(place, found.revision, narration.say)
        assert isinstance(own.location, Path)
        with quiet_libraries():
            from analysis.changing.inspection import inspect as compare

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


def _recorded_base(folder: Path) -> str:
    """What the provenance of an export says it was made of, in the words of `--model`.

    Raises:
        InputError: there is none, or that model is not to be found by what is recorded.
    """
    from analysis.errors import InputError
    from sessions.files import Unreadable
    from sessions.provenance import PROVENANCE, Provenance
    from workbench.models import CATALOGUE

    path = folder / PROVENANCE
    if not path.exists():
        raise InputError(f"{folder.name} does not say what it was made of; give --base MODEL")
    try:
        model = Provenance.read(path).base
    except Unreadable as error:
        raise InputError(f"{folder.name}: {error}; give --base MODEL") from error
    if model.name in {each.name for each in CATALOGUE}:
        return model.name
    # A hub id; no folder is opened because a file says so.
    if model.name == model.source and re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model.source):
        return f"{model.source}@{model.revision}" if model.revision else model.source
    raise InputError(
        f"{folder.name} was made of {model.name}, which is no model of the catalogue or the hub; "
        "give its folder or file with --base"
    )
