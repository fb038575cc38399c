"""`workbench models`, `export` and `inspect`: models as folders, to fetch, to write, to compare."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from analysis.errors import InputError
from analysis.options import naming
from sessions import Session
from sessions.files import Unreadable
from sessions.provenance import PROVENANCE, Provenance, changes_of, parse_format
from workbench.cli import completing, narration, options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import loaded
from workbench.exporting import Export, check_allowed
from workbench.exporting import export as write
from workbench.logs import quiet_libraries, start_logging

app = typer.Typer(help="List and fetch models.", no_args_is_help=False)


@app.command("ls")
def ls(json: options.Json = False) -> None:
    """List the models of the catalogue and where they lie."""
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
    from workbench.models import resolve

    wanted = name or options.settings().model
    found = resolve(wanted, narration.say)
    narration.say(f"{wanted} lies in {found.location}")


FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        help="hf: a model folder, weights edited; adapter: the one worn; mask: the changes alone.",
        metavar="hf|adapter|mask",
    ),
]
NewFolder = Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR", show_default=False)]
ChangedIn = Annotated[
    str | None,
    typer.Option("--session", help="Take the changes, or what was measured, from there."),
]
StoredDtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="What hf stores the weights in: float32, bfloat16 or float16. They are loaded and "
        "edited in float32 and rounded once.",
        show_default=False,
        autocompletion=completing.dtypes,
    ),
]


@on_a_model()
def export(
    folder: NewFolder,
    format: FormatName = "hf",
    change: options.Change = None,
    session: ChangedIn = None,
    dtype: StoredDtype = None,
    json: options.Json = False,
    *,
    on: OnModel,
) -> None:
    """Write a model, heads and neurons changed or as it is, to a folder that transformers loads."""
    with naming("--format"):
        written = parse_format(format)
    settings = options.settings(**on.flags | {"dtype": dtype})
    check_allowed(settings)
    changes = options.changes(change)
    opened = None if session is None else Session.open(session)
    if opened is not None and not changes and written != "adapter":
        changes = changes_of(opened)
    what = Export(
        folder,
        written,
        changes,
        settings.adapter,
        opened,
        settings.dtype if written == "hf" else None,
    )
    if written == "hf":  # edits in float32 are rounded once, when they are stored
        settings = settings.model_copy(update={"dtype": "float32"})
    with narration.held_back():
        live = loaded(settings)
        if opened is not None:
            opened.check_model(live.info)
        record = write(live, what, narration.say)
    if json:
        output.print_json(record.model_dump(mode="json", by_alias=True))
    else:
        narration.say(f"exported to {folder}: {changes or settings.adapter or 'unchanged'}")


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
    from workbench.models import resolve, snapshot

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
