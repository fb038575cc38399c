"""`workbench sessions diff`: two sessions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import completing, options

if TYPE_CHECKING:
    from sessions import RecordedStep, Session
    from sessions.compare import Diff


def diff(
    first: options.Recorded,
    second: Annotated[
        str,
        typer.Argument(help="Another one.", show_default=False, autocompletion=completing.recorded),
    ],
    json: options.Json = False,
) -> None:
    """Compare two sessions: the steps both have, and what else differs."""
    from sessions import Session
    from sessions.compare import diff as compared
    from workbench.cli import narration, output

    sessions = Session.open(first), Session.open(second)
    found = compared(*sessions)
    if json:
        output.print_json(_document(sessions, found))
    else:
        _print(sessions, found)
    for session in sessions:
        for notice in session.notices:
            narration.warn(f"{session.address}: {notice}")


def _document(sessions: tuple[Session, Session], found: Diff) -> dict[str, Any]:
    from workbench.cli import agreement

    names = ("first", "second")
    return {
        "first": sessions[0].address,
        "second": sessions[1].address,
        "same": found.same,
        "model": {
            what: dict(zip(names, values, strict=True)) for what, values in found.model.items()
        },
        "steps": [
            {
                "first": pair.first.id,
                "second": pair.second.id,
                "title": pair.first.step.title,
                **agreement.document(pair.agreement),
                "seconds_first": pair.first.info.seconds,
                "seconds_second": pair.second.info.seconds,
                "state_first": pair.first.state,
                "state_second": pair.second.state,
                "same": pair.same,
                "reason": pair.reason,
            }
            for pair in found.pairs
        ],
        "only_first": [_named(each) for each in found.only_first],
        "only_second": [_named(each) for each in found.only_second],
    }


def _named(recorded: RecordedStep) -> dict[str, str]:
    return {"id": recorded.id, "title": recorded.step.title, "state": recorded.state}


def _print(sessions: tuple[Session, Session], found: Diff) -> None:
    import polars as pl

    from screens.text import counted, duration, one_line
    from workbench.cli import agreement, output

    first, second = (session.address for session in sessions)
    if found.same:
        compared = counted(len(found.pairs), "step")
        output.print_line(f"{first} and {second}: no difference in {compared}")
        return
    for what, (before, after) in found.model.items():
        output.print_line(one_line(f"{what}: {before} in {first}, {after} in {second}"))
    if found.pairs:
        rows = [
            {
                "step": " = ".join(dict.fromkeys((pair.first.id, pair.second.id))),
                **agreement.cells(pair.agreement),
                "took": " · ".join(duration(each.info.seconds) for each in pair.steps),
            }
            for pair in found.pairs
        ]
        title = f"{first} beside {second}"
        output.print_table(pl.DataFrame(rows), title, list(rows[0]), limit=None)
    for pair in found.pairs:
        if pair.reason is not None:
            output.print_line(f"  not compared: {pair.reason}")
        if line := agreement.newcomers(pair.agreement):
            output.print_line(f"  {pair.first.id}: {line}")
    for address, steps in ((first, found.only_first), (second, found.only_second)):
        for each in steps:
            output.print_line(one_line(f"only in {address}: {each.id} {each.step.title}"))
