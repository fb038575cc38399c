"""`workbench sessions export`: a session as rows, a report, a script or a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options

if TYPE_CHECKING:
    from sessions import RecordedStep, Session
    from workbench.sharing.destination import Destination


def export_session(
    name: options.Recorded,
    dest: Annotated[
        Path,
        typer.Argument(
            help="FILE.csv, .parquet, .json: rows of a step; .py: a script; .md or a folder: a "
            "report; .zip: everything.",
            metavar="DEST",
            show_default=False,
        ),
    ],
    step: Annotated[
        str | None, typer.Option("--step", help="Only these steps, as 2 or 1,3-cna.")
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Of a folder: report, or csv, parquet or json for a file a step.",
            metavar="FORMAT",
            show_default=False,
        ),
    ] = None,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Draw the screens of a report.")
    ] = True,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what an earlier export wrote.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Hand a session on: rows as files, a report, a script, or all of it in one file."""
    from screens.text import counted
    from sessions import Session
    from workbench.cli import narration, output
    from workbench.logs import start_logging
    from workbench.sharing.destination import Destination

    start_logging()
    session = Session.open(name)
    to = Destination.of(dest, format)
    steps = _chosen(session, step, to)
    to.check_free(force)
    _check_whole(session, steps, to)
    files = _written(session, steps, to, pictures)
    for notice in session.notices:
        narration.warn(notice)
    if json:
        document = {"session": session.address, "format": to.format}
        output.print_json({**document, "files": [str(each) for each in files]})
    else:
        beside = f" and {counted(len(files) - 1, 'more file')}" if len(files) > 1 else ""
        narration.say(f"written: {files[0]}{beside}")


def _chosen(session: Session, names: str | None, to: Destination) -> list[RecordedStep]:
    """The steps that are exported.

    Raises:
        InputError: there are none, or more than the destination takes.
    """
    from analysis.errors import InputError
    from workbench.sharing.destination import OF_ROWS

    if names is None:
        steps = session.steps
    elif to.format == "bundle":
        raise InputError("a bundle holds the whole session; leave --step out")
    else:
        steps = [session.step(each.strip()) for each in names.split(",")]
        steps = list({each.id: each for each in steps}.values())
    if not steps:
        raise InputError(f"session {session.name} has no steps to export")
    if to.format in OF_ROWS and not to.folder and len(steps) > 1:
        ids = ", ".join(each.id for each in steps[:6]) + (" …" if len(steps) > 6 else "")
        raise InputError(
            f"{to.path.name} holds the rows of one step; choose it with --step ({ids}), "
            f"or name a folder and --format {to.format}"
        )
    return steps


def _check_whole(session: Session, steps: list[RecordedStep], to: Destination) -> None:
    """Refuse rows of which some are lost; a bundle or a report takes what is there.

    Raises:
        WorkbenchError: a step is damaged.
    """
    from analysis.errors import WorkbenchError
    from workbench.sharing.destination import OF_ROWS

    if to.format == "script":  # which computes the rows again
        return
    for each in steps:
        done = each.done_rows  # every byte is looked at, and what is set aside gives a notice
        if to.format in OF_ROWS and each.state == "damaged":
            why = session.notices[-1] if session.notices else "its file is missing"
            raise WorkbenchError(
                f"{each.id} of session {session.name} is damaged, {done:,} of "
                f"{each.info.expected:,} rows can be read ({why}); nothing is written"
            )


def _written(
    session: Session, steps: list[RecordedStep], to: Destination, pictures: bool
) -> list[Path]:
    """Write the export and name its files."""
    from analysis.folders import file_aside, written_aside
    from sessions.bundle import pack
    from workbench.cli import narration
    from workbench.sharing.report import write_report
    from workbench.sharing.rows import write_rows
    from workbench.sharing.script import script

    if to.format == "report":
        with narration.bar("pictures") as bar:
            return write_report(session, steps, to, options.settings(), pictures, bar.update)
    if to.format == "bundle":
        for left_out in pack(session, to.path):
            narration.say(f"left out: {left_out}")
    elif to.format == "script":
        text = script(session, steps)
        with file_aside(to.path) as aside:
            aside.write_text(text, "utf-8")
    elif not to.folder:
        write_rows(session, steps[0], to.path, to.format)
    else:
        names = [f"{each.id}.{to.format}" for each in steps]
        with written_aside(to.path) as folder:
            for recorded, file in zip(steps, names, strict=True):
                write_rows(session, recorded, folder / file, to.format)
        return [to.path / each for each in names]
    return [to.path]
