"""`workbench paper`: the paper's tables, measured on a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import completing, options
from workbench.cli.shared import Run, runs_a_step

if TYPE_CHECKING:
    from analysis.errors import InputError
    from analysis.model.model import Model
    from analysis.paper.registry import Table
    from analysis.paper.scale import Scale
    from analysis.step import Step
    from analysis.steps import TableStep
    from sessions import RecordedStep, Session
    from workbench.settings import Settings

NARROW = 100
"""Columns below which a table says less."""
FORMATS = (".md", ".parquet", ".csv", ".json")


TableIds = Annotated[
    str | None,
    typer.Option(
        "--table",
        help="Only these, as T5,T8.",
        metavar="IDS",
        show_default=False,
        autocompletion=completing.tables,
    ),
]
ScaleName = Annotated[
    str, typer.Option("--scale", help="small: two cores, a small model; full: the paper's.")
]
MostCases = Annotated[
    int | None, typer.Option("--cases", min=1, help="At most so many cases an operation.")
]
Examples = Annotated[
    int | None,
    typer.Option("--shots", min=0, max=8, help="Worked examples before each case."),
]
OwnTask = Annotated[
    str | None,
    typer.Option("--task", help="Your own file of cases; groups are operations."),
]


@runs_a_step
def paper(
    listed: Annotated[bool, typer.Option("--list", help="Name the tables and stop.")] = False,
    table: TableIds = None,
    scale: ScaleName = "small",
    cases: MostCases = None,
    shots: Examples = None,
    task: OwnTask = None,
    columns: options.Columns = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Also write all tables to FILE.md, .parquet, .csv or .json."),
    ] = None,
    *,
    run: Run,
) -> None:
    """Measure the paper's tables, each beside the paper's numbers and with a verdict."""
    from analysis.paper.registry import tables
    from workbench.cli import output

    chosen = tables(table)
    if listed:
        _print_list(chosen, run.json)
        return
    output.check_out(out, FORMATS)
    settings = run.settings
    at = scale_of(scale, cases, shots, task, settings.seed, columns)
    _measure_all(chosen, at, settings, run, out, named=table is not None)


def _print_list(tables: list[Table], json: bool) -> None:
    import polars as pl

    from workbench.cli import output

    rows = [
        {"table": each.id, "shows": each.title, "in": each.unit, "paper": each.model}
        for each in tables
    ]
    if json:
        output.print_json(rows)
    else:
        title = "workbench paper --table T5,T8 measures some of them"
        output.print_table(pl.DataFrame(rows), title, list(rows[0]), None, elastic=("shows",))


def scale_of(
    name: str,
    cases: int | None,
    shots: int | None,
    task: str | None,
    seed: int,
    columns: str | None = None,
) -> Scale:
    """The scale of the options.

    Raises:
        InputError: they do not make one.
    """
    from analysis.errors import InputError
    from analysis.paper.scale import Scale

    found = Scale.called(name)
    changes: dict[str, Any] = {"seed": seed}
    if shots is not None:
        changes["shots"] = shots
    if columns is not None and task is None:
        raise InputError("--columns goes with --task")
    if task is not None:
        changes["task"] = options.task_file(Path(task), columns)
        changes["task"].require_answers()
    found = found.model_copy(update=changes)
    return found if cases is None else found.limited(cases)


def _measure_all(
    tables: list[Table],
    scale: Scale,
    settings: Settings,
    run: Run,
    out: Path | None,
    named: bool,
) -> None:
    """Measure tables one after the other; those named must all suit the cases."""
    from analysis.steps import TableStep
    from workbench.cli import narration, output
    from workbench.cli.steps import loaded, recording

    steps, unsuited = _suited(
        [run.changed(TableStep(table=each.id, scale=scale)) for each in tables]
    )
    if unsuited and (named or not steps):
        raise unsuited[0]
    with narration.held_back():
        model = loaded(settings)
        name = run.session or default_session(model.info.name, scale)
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
                output.document(
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
    from analysis.errors import InputError
    from analysis.paper.measuring import Measuring

    suited, unsuited = [], []
    for step in steps:
        try:
            Measuring(step)
        except InputError as error:
            unsuited.append(InputError(f"{step.table}: {error}"))
        else:
            suited.append(step)
    return suited, unsuited


def default_session(model: str, scale: Scale) -> str:
    """The session that tables of a model go to, so that the same command goes on with them."""
    words = "".join(each if each.isalnum() or each in "-._" else "-" for each in model)
    own = "" if scale.task is None else f"-{scale.task.name}"
    return f"paper-{words}-{scale.name}{own}"[:60]


def _measured(session: Session, step: TableStep, model: Model, settings: Settings) -> RecordedStep:
    from workbench.cli import narration
    from workbench.cli.steps import follow
    from workbench.tables import measure

    narration.say(step.title)

    def run(step: Step, resume: RecordedStep | None) -> RecordedStep:
        narration.say(f"  {step.title}")
        try:
            return follow(session, step, model, settings, resume)
        except KeyboardInterrupt:
            narration.say("the same command goes on with this table and the others")
            raise

    return measure(session, step, model, run)


def _print(step: TableStep, recorded: RecordedStep) -> None:
    """The table, and one line that says whether its claim held."""
    from screens.words import printable, verdict
    from workbench.cli import output

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
    import polars as pl

    from screens.words import markdown
    from workbench.cli import output

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
    from workbench.cli import narration

    verdicts = [recorded.info.baseline["verdict"] for _, recorded in documents]
    counts = [f"{verdicts.count(each)} {each}" for each in ("held", "failed", "undecided")]
    narration.say(f"claims: {', '.join(counts)}")
    narration.say(f"look again with: workbench replay {session.name}")
