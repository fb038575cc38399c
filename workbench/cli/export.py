"""`workbench export`: a model, changed or as it is, as a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.options import naming
from workbench.cli import completing, options

FormatName = Annotated[
    str,
    typer.Option(
        "--format",
        help="hf: a model folder, weights edited; adapter: the one worn; mask: the changes alone.",
        metavar="hf|adapter|mask",
    ),
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


def export(
    folder: Annotated[
        Path, typer.Argument(help="A new folder.", metavar="DIR", show_default=False)
    ],
    format: FormatName = "hf",
    change: options.Change = None,
    session: Annotated[
        str | None,
        typer.Option("--session", help="Take the changes, or what was measured, from there."),
    ] = None,
    model: options.ModelName = None,
    dtype: StoredDtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    ignore_unused: options.IgnoreUnused = None,
    json: options.Json = False,
) -> None:
    """Write a model, heads and neurons changed or as it is, to a folder that transformers loads."""
    from sessions import Session
    from sessions.provenance import changes_of, measured_in, parse_format
    from workbench.cli import narration, output
    from workbench.cli.steps import loaded
    from workbench.exporting import Export, check_allowed
    from workbench.exporting import export as write

    with naming("--format"):
        written = parse_format(format)
    settings = options.settings(
        model=model,
        dtype=dtype,
        bits=bits,
        device=device,
        adapter=adapter,
        ignore_unused=ignore_unused,
    )
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
        session,
        () if opened is None else measured_in(opened, changes),
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
