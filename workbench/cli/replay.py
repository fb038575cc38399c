"""`workbench replay`: look at a recorded session, or compute it again and compare."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import options

if TYPE_CHECKING:
    from analysis.model import Model
    from sessions import RecordedStep, Session


def replay(
    name: Annotated[str, typer.Argument(help="A session, or example:NAME.", show_default=False)],
    check: Annotated[
        bool,
        typer.Option("--check", help="Compute every step again and compare, without the UI."),
    ] = False,
    model: options.ModelName = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    json: options.Json = False,
) -> None:
    """Open a session in the terminal UI, with no model; or check its numbers."""
    from analysis.errors import InputError
    from sessions import Session
    from workbench.tui import open_replay

    session = Session.open(name)
    if check:
        _check(session, model, device, adapter, json)
    elif any(each is not None for each in (model, device, adapter)) or json:
        raise InputError("a replay needs no model; --model and the like go with --check")
    else:
        open_replay(session, options.settings())


def _check(
    session: Session, model: str | None, device: str | None, adapter: Path | None, json: bool
) -> None:
    """Compute the finished steps again and say how far they differ.

    Raises:
        WorkbenchError: they differ by more than rounding explains.
    """
    import polars as pl

    from analysis.errors import WorkbenchError
    from analysis.info import PARITY_LIMITS
    from workbench.cli import narration, output
    from workbench.cli.steps import loaded, settings_of

    opened = loaded(settings_of(session, model, device, adapter))
    session.check_model(opened.info)
    tolerance = PARITY_LIMITS[session.info.model.dtype]
    rows = []
    for recorded in session.steps:
        if recorded.info.state == "done":
            narration.say(f"{recorded.id}: {recorded.step.title}")
            rows.append({"step": recorded.id, **_again(session, recorded, opened, tolerance)})
    if json:
        output.print_json(rows)
    elif rows:
        table = pl.DataFrame([{**row, "difference": f"{row['difference']:.1e}"} for row in rows])
        output.print_table(table, f"{session.name}, computed again", table.columns)
    else:
        narration.say(f"session {session.name} has no finished steps")
    failed = [row["step"] for row in rows if not row["agrees"]]
    if failed:
        raise WorkbenchError(
            f"{', '.join(failed)} of session {session.name}: computed again, the numbers differ "
            f"by more than {tolerance:g}"
        )


def _again(
    session: Session, recorded: RecordedStep, model: Model, tolerance: float
) -> dict[str, Any]:
    """One step's comparison as a row."""
    import polars as pl

    from analysis.columns import schema
    from analysis.steps import TableStep
    from sessions.compare import compare
    from workbench.cli import narration
    from workbench.tables import derived

    step, expected = recorded.step, recorded.info.expected
    if isinstance(step, TableStep):  # the steps it is made of are checked themselves
        found = compare(step, recorded.rows(), derived(session, step))
        return {**asdict(found), "agrees": found.holds(tolerance)}
    tables = [pl.DataFrame(schema=schema(step.columns))]
    with narration.bar(step.kind) as bar:
        for table in step.run(model):
            tables.append(table)
            bar.update(sum(each.height for each in tables), expected)
    found = compare(step, recorded.rows(), pl.concat(tables))
    return {**asdict(found), "agrees": found.holds(tolerance)}
