"""`workbench sessions`: what was recorded."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import completing, diff, export_session, options, tidying

if TYPE_CHECKING:
    from sessions import RecordedStep, Session, SessionSummary
    from sessions.documents import FoundState

LOOKED_THROUGH = 64 * 2**20
"""Bytes of a session up to which listing its steps looks at every byte of them."""

app = typer.Typer(help="List and show recorded sessions.", no_args_is_help=False)
app.command("diff")(diff.diff)
app.command("export")(export_session.export_session)
app.command("rename")(tidying.rename)
app.command("rm")(tidying.rm)
app.command("prune")(tidying.prune)


@app.command("ls")
def ls(json: options.Json = False) -> None:
    """List the sessions on this machine, and the examples that ship."""
    from sessions import list_examples, list_sessions
    from workbench.cli import narration, output

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
    import polars as pl

    from screens.text import age, one_line, size
    from workbench.cli import output

    rows = [
        {
            "name": one_line(name),
            "model": one_line(each.model),
            "steps": each.steps,
            "states": one_line(_told(each)),
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


def _told(each: SessionSummary) -> str:
    """How a session is, and who writes it."""
    if not each.written or each.problem is not None:
        return each.told
    writing = "being written" if each.writer is None else f"pid {each.writer.pid} writes"
    return f"{writing}, {each.told}"


@app.command("show")
def show(
    name: options.Recorded,
    step: Annotated[
        str | None, typer.Option("--step", help="Show the rows of this step, as 2 or 002-cna.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Show the steps of a session, or the rows of one of them."""
    import polars as pl

    from screens.text import one_line
    from sessions import Session
    from workbench.cli import narration, output

    session = Session.open(name)
    if step is not None:
        recorded = session.step(step)
        rows = recorded.step.ranked(recorded.rows())
        data = output.document(
            recorded.step,
            session.info.model,
            output.printed_baseline(recorded.info.baseline),
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
    from workbench.cli import narration

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
    from sessions import Session
    from workbench.exporting import check_allowed

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
    from screens.text import counted
    from sessions.bundle import unpack
    from workbench.cli import narration

    session = unpack(file, name=name)
    steps = counted(len(session.steps), "step")
    narration.say(f"session {session.name}: {steps} · {session.info.model.name}")
    _warn(session)
