"""`workbench sessions`: what was recorded, keeping order among it, and handing it on."""

from __future__ import annotations

import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from analysis.errors import InputError, WorkbenchError
from analysis.folders import write_durably, written_aside
from screens.text import age, counted, one_line, size
from sessions import (
    Session,
    leftovers,
    list_examples,
    list_sessions,
    prunable,
    remove_session,
    rename_session,
)
from sessions.bundle import pack, unpack
from sessions.paths import check_own, checked_name, located, root
from workbench.cli import completing, narration, options, output, replay
from workbench.exporting import check_allowed
from workbench.logs import start_logging
from workbench.sharing.destination import OF_ROWS, ExportTarget
from workbench.sharing.rows import document, export_rows

if TYPE_CHECKING:
    from sessions import RecordedStep, SessionSummary
    from sessions.documents import FoundState


LOOKED_THROUGH = 64 * 2**20
"""Bytes of a session up to which listing its steps looks at every byte of them."""

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}

app = typer.Typer(help="List and show recorded sessions.", no_args_is_help=False)
app.command("diff")(replay.diff)


@app.command("rename")
def rename(
    old: Annotated[
        str,
        typer.Argument(help="A session.", show_default=False, autocompletion=completing.sessions),
    ],
    new: Annotated[str, typer.Argument(help="What to call it.", show_default=False)],
) -> None:
    """Give a session another name."""
    check_allowed(options.settings(), "renamed")
    rename_session(old, new)


@app.command("rm")
def rm(
    names: Annotated[
        list[str],
        typer.Argument(help="Sessions.", show_default=False, autocompletion=completing.sessions),
    ],
    yes: Yes = False,
) -> None:
    """Remove sessions with all that is recorded in them."""
    check_allowed(options.settings(), "removed")
    known = {each.name: each for each in list_sessions()}
    chosen: list[SessionSummary] = []
    for name in dict.fromkeys(names):
        check_own(name)
        if name not in known:
            located(checked_name(name), root())  # says why, and what was meant
            raise InputError(f"no session called {name}")
        if known[name].written:
            who = known[name].writer or "another process"
            raise WorkbenchError(f"session {name} is being written by {who}; nothing is removed")
        chosen.append(known[name])
    if _confirmed(chosen, yes):
        for each in chosen:
            remove_session(each.name)


@app.command("prune")
def prune(
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than",
            help="Also sessions nobody wrote to for so long, as 30d, 12h or 8w.",
            metavar="TIME",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            min=0,
            help="Keep the latest N, however old; without --older-than all others go.",
            metavar="N",
            show_default=False,
        ),
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove empty sessions, old ones, or all but the latest; never one that is being written."""
    check_allowed(options.settings(), "removed")
    chosen = prunable(list_sessions(), None if older_than is None else _span(older_than), keep)
    left = leftovers()
    if left:
        narration.say(f"{counted(len(left), 'folder')} left by processes that were killed")
    if not chosen and not left:
        narration.say("nothing to remove")
    elif _confirmed(chosen, yes):
        for each in chosen:
            remove_session(each.name)
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)


def _span(text: str) -> timedelta:
    """A span of time from `30d`.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None:
        raise InputError(f"--older-than {text}: give hours, days or weeks, as 12h, 30d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _confirmed(chosen: Sequence[SessionSummary], yes: bool) -> bool:
    """Say what would be removed and ask, unless that is answered already.

    Raises:
        InputError: there is nobody to ask.
    """
    for each in chosen:
        facts = (
            f"{counted(each.steps, 'step')}, {size(each.size_bytes)}, {age(each.age_seconds)} old"
        )
        narration.say(f"{each.name}: {facts}")
    if yes:
        return True
    if not sys.stdin.isatty():
        raise InputError("nothing is removed without being asked for: add --yes")
    return typer.confirm(f"Remove {counted(len(chosen), 'session')}?", err=True)


@app.command("ls")
def ls(json: options.Json = False) -> None:
    """List the sessions on this machine, and the examples that ship."""
    own = list_sessions()
    listed = [*own, *list_examples()]
    names = [each.name for each in own] + [f"example:{each.name}" for each in listed[len(own) :]]
    if json:
        output.print_json([_document(*each) for each in zip(names, listed, strict=True)])
    elif listed:
        _print_list(names, listed)
    if not own:
        narration.say("no sessions of your own yet; workbench demo makes one")


def _document(name: str, each: SessionSummary) -> dict[str, Any]:
    return {
        "name": name,
        "model": each.model,
        "steps": each.steps,
        "states": _states(each),
        "size_kb": round(each.size_bytes / 1000, 1),
        "modified": each.modified.isoformat(timespec="seconds"),
        "size_bytes": each.size_bytes,
        "created": None if each.created is None else each.created.isoformat(timespec="seconds"),
        "damaged": each.damaged,
        "written": each.written,
        "writer": None if each.writer is None else each.writer.model_dump(mode="json"),
        "note": each.note,
        "problem": each.problem,
    }


def _print_list(names: list[str], listed: list[SessionSummary]) -> None:

    rows = [
        {
            "name": one_line(name),
            "model": one_line(each.model),
            "steps": each.steps,
            "states": one_line(_condition(each)),
            "size": size(each.size_bytes),
            "changed": f"{age(each.age_seconds)} ago",
        }
        for name, each in zip(names, listed, strict=True)
    ]
    columns = list(rows[0])
    output.print_table(
        pl.DataFrame(rows), "Sessions", columns, limit=None, elastic=("name", "model", "states")
    )


def _states(each: SessionSummary) -> str:
    return " ".join(f"{count} {state}" for state, count in Counter(each.states).items())


def _condition(each: SessionSummary) -> str:
    """How a session is, and who writes it."""
    if not each.written or each.problem is not None:
        return each.condition
    writing = "being written" if each.writer is None else f"pid {each.writer.pid} writes"
    return f"{writing}, {each.condition}"


@app.command("show")
def show(
    name: options.Recorded,
    step: Annotated[
        str | None, typer.Option("--step", help="Show the rows of this step, as 2 or 002-cna.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the steps of a session, or the rows of one of them."""
    session = Session.open(name)
    if step is not None:
        recorded = session.step(step)
        rows = recorded.step.ranked(recorded.rows())
        data = document(
            recorded.step,
            session.info.model,
            recorded.info.baseline,
            rows,
            session=session.name,
            id=recorded.id,
        )
        if json:
            output.print_json(data)
        else:
            table = recorded.step.shown(rows)
            output.print_table(table, recorded.step.title, table.columns)
        _warn(session)
        return
    small = session.size_bytes <= LOOKED_THROUGH
    steps = [_step_row(each, each.state if small else each.listed_state) for each in session.steps]
    if json:
        output.print_json({"session": session.info.model_dump(mode="json"), "steps": steps})
    else:
        model = session.info.model
        title = f"{session.address} · {model.name} {model.precision} {model.device}"
        if steps:
            columns = [each for each in steps[0] if each != "note"]
            rows = pl.DataFrame(steps).with_columns(
                # Killed before it could note any time.
                pl.col("seconds").replace(0.0, None)
            )
            output.print_table(rows, title, columns, None, elastic=("title",))
        else:
            narration.say(f"{title}: no steps yet")
        notes = [
            ("", session.info.note),
            *((f"{each.id}  ", each.info.note) for each in session.steps),
        ]
        for place, text in notes:
            for line in text.splitlines():
                output.print_line(f"  {place}{one_line(line)}")
    _warn(session)


def _step_row(recorded: RecordedStep, state: FoundState) -> dict[str, Any]:
    """A step as a line of its session."""
    info = recorded.info
    return {
        "id": recorded.id,
        "title": recorded.step.title,
        "state": state,
        "rows": recorded.done_rows if state == "damaged" else recorded.listed_rows,
        "expected": info.expected,
        "seconds": info.seconds,
        "note": info.note,
    }


def _warn(session: Session) -> None:
    """Say what of a session could not be read."""
    for notice in session.notices:
        narration.warn(notice)


@app.command("note")
def note(
    name: Annotated[
        str,
        typer.Argument(help="A session.", show_default=False, autocompletion=completing.sessions),
    ],
    text: Annotated[str, typer.Argument(help="What to remember; '' removes the note.")],
    step: Annotated[
        str | None, typer.Option("--step", help="Note it on this step, as 2 or 002-cna.")
    ] = None,
) -> None:
    """Put a note on a session or on one of its steps, in place of the one it had."""
    check_allowed(options.settings(), "noted")
    Session.open(name).note(text, step)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A bundle, as FILE.zip.", show_default=False)],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call it, if not as it was called.")
    ] = None,
) -> None:
    """Make the session in a bundle one of yours. Nothing in it can run."""
    session = unpack(file, name=name)
    steps = counted(len(session.steps), "step")
    narration.say(f"session {session.name}: {steps} · {session.info.model.name}")
    _warn(session)


@app.command("export")
def export(
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
    start_logging()
    session = Session.open(name)
    to = ExportTarget.of(dest, format)
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


def _chosen(session: Session, names: str | None, to: ExportTarget) -> list[RecordedStep]:
    """The steps that are exported.

    Raises:
        InputError: there are none, or more than the destination takes.
    """
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


def _check_whole(session: Session, steps: list[RecordedStep], to: ExportTarget) -> None:
    """Refuse rows of which some are lost; a bundle or a report takes what is there.

    Raises:
        WorkbenchError: a step is damaged.
    """
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
    session: Session, steps: list[RecordedStep], to: ExportTarget, pictures: bool
) -> list[Path]:
    """Write the export and name its files."""
    from workbench.sharing.report import write_report
    from workbench.sharing.script import script

    if to.format == "report":
        with narration.bar("pictures") as bar:
            return write_report(session, steps, to, options.settings(), pictures, bar.update)
    if to.format == "bundle":
        for left_out in pack(session, to.path):
            narration.say(f"left out: {left_out}")
    elif to.format == "script":
        write_durably(to.path, script(session, steps).encode())
    elif not to.folder:
        export_rows(session, steps[0], to.path)
    else:
        names = [f"{each.id}.{to.format}" for each in steps]
        with written_aside(to.path) as folder:
            for recorded, file in zip(steps, names, strict=True):
                export_rows(session, recorded, folder / file)
        return [to.path / each for each in names]
    return [to.path]
