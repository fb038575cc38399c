"""`workbench paper`: the paper's tables, measured on a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from analysis.errors import InputError
from analysis.options import Given
from analysis.paper.registry import tables
from analysis.paper.table import TableStep
from workbench.cli import narration, output
from workbench.cli.step_commands import Run, asked, runs_steps
from workbench.cli.steps import follow, loaded, recording
from workbench.sharing.rows import document

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.paper.registry import Table
    from analysis.paper.scale import Scale
    from analysis.paper.table import TableStep
    from analysis.step import Step
    from sessions import RecordedStep, Session
    from workbench.settings import Settings

NARROW = 100
"""Columns below which a table says less."""
FORMATS = (".md", ".parquet", ".csv", ".json")


@runs_steps(*TableStep.options())
def paper(
    listed: Annotated[bool, typer.Option("--list", help="Name the tables and stop.")] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write all tables to FILE.md, .parquet, .csv or .json."),
    ] = None,
    *,
    given: Given,
    run: Run,
) -> None:
    """Measure the paper's tables, each beside the paper's numbers and with a verdict."""
    if listed:
        _print_list(tables(given["table"]), run.json)
        return
    output.check_out(out, FORMATS)
    steps = [run.changed(each) for each in asked(TableStep, given)]
    _measure_all(steps, run.settings, run, out, named=given["table"] is not None)


def _print_list(tables: list[Table], json: bool) -> None:

    rows = [
        {"table": each.id, "shows": each.title, "in": each.unit, "paper": each.model}
        for each in tables
    ]
    if json:
        output.print_json(rows)
    else:
        title = "workbench paper --table T5,T8 measures some of them"
        output.print_table(pl.DataFrame(rows), title, list(rows[0]), None, elastic=("shows",))


def _measure_all(
    tables: list[TableStep], settings: Settings, run: Run, out: Path | None, named: bool
) -> None:
    """Measure tables one after the other; those named must all suit the cases."""
    steps, unsuited = _suited(tables)
    if unsuited and (named or not steps):
        raise unsuited[0]
    with narration.held_back():
        model = loaded(settings)
        name = run.session or default_session(model.info.name, tables[0].scale)
        with recording(name, settings, model, hint="paper") as session:
            narration.go_ahead()
            for error in unsuited:
                narration.say(f"left out: {error}")
            if session.steps:
                narration.say(f"session {session.name}: what it has is not computed again")
            documents = []
            for step in steps:
                recorded = _measured(session, step, model, settings)
                documents.append((step, recorded))
                if not run.json:
                    _print(step, recorded)
            data = [
                document(
                    step,
                    model.info,
                    recorded.info.baseline,
                    recorded.rows(),
                    session=session.name,
                    id=recorded.id,
                )
                for step, recorded in documents
            ]
            if run.json:
                output.print_json({"model": model.info.model_dump(mode="json"), "tables": data})
            if out is not None:
                _write(out, documents, data)
                narration.say(f"written: {out}")
            _sum_up(session, documents)


def _suited(steps: list[TableStep]) -> tuple[list[TableStep], list[InputError]]:
    """The tables whose cases are there, and why the others' are not; nothing is loaded for it."""

    suited, unsuited = [], []
    for step in steps:
        try:
            step.check_cases()
        except InputError as error:
            unsuited.append(error)
        else:
            suited.append(step)
    return suited, unsuited


def default_session(model: str, scale: Scale) -> str:
    """The session that tables of a model go to, so that the same command goes on with them."""
    words = "".join(each if each.isalnum() or each in "-._" else "-" for each in model)
    own = "" if scale.task is None else f"-{scale.task.name}"
    return f"paper-{words}-{scale.name}{own}"[:60]


def _measured(session: Session, step: TableStep, model: Model, settings: Settings) -> RecordedStep:

    narration.say(step.title)

    def announce(wanted: Step) -> None:
        narration.say(f"  {wanted.title}")

    try:
        return follow(session, step, model, settings, announce=announce)
    except KeyboardInterrupt:
        narration.say("the same command goes on with this table and the others")
        raise


def _print(step: TableStep, recorded: RecordedStep) -> None:
    """The table, and one line that says whether its claim held."""
    from screens.words import printable, verdict

    declared, base = step.declared, recorded.info.baseline
    rows = printable(step, recorded.rows(), narrow=output.width() < NARROW)
    title = f"{step.title}   {declared.unit}; paper: {declared.model}"
    output.print_table(rows, title, rows.columns, limit=None, elastic=("paper", "found"))
    output.print_line(f"{verdict(base)}  {base['claim']}", style="bold")
    output.print_line(f"  {base['finding']}")
    for note in base["notes"]:
        output.print_line(f"  {note}", style="dim")


def _write(
    path: Path, documents: list[tuple[TableStep, RecordedStep]], data: list[dict[str, Any]]
) -> None:
    """All tables in one file."""
    from screens.words import markdown

    pages = [markdown(step, each.rows(), each.info.baseline) for step, each in documents]
    frames = [
        each.rows().select(
            pl.lit(step.table).alias("table"),
            pl.lit(each.info.baseline["verdict"]).alias("verdict"),
            pl.all(),
        )
        for step, each in documents
    ]
    output.write(path, pl.concat(frames), data, "\n".join(pages))


def _sum_up(session: Session, documents: list[tuple[TableStep, RecordedStep]]) -> None:

    verdicts = [recorded.info.baseline["verdict"] for _, recorded in documents]
    counts = [f"{verdicts.count(each)} {each}" for each in ("held", "failed", "undecided")]
    narration.say(f"claims: {', '.join(counts)}")
    narration.say(f"look again with: workbench replay {session.name}")
