"""`workbench resume`: finish what was interrupted, and what was damaged since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from analysis.errors import WorkbenchError
from sessions import Session
from workbench.cli import completing, narration, options
from workbench.cli.steps import Destination, follow, loaded, publish, settings_of

if TYPE_CHECKING:
    from analysis.model.model import Model
    from sessions import RecordedStep
    from workbench.settings import Settings


def resume(
    name: Annotated[
        str,
        typer.Argument(
            help="The session to go on with.",
            show_default=False,
            autocompletion=completing.sessions,
        ),
    ],
    model: options.ModelName = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    json: options.Json = False,
) -> None:
    """Run the unfinished steps of a session to their end; rows that were damaged too."""
    with Session.open(name) as session:
        unfinished = [
            each.id for each in session.steps if each.state != "done" and not each.outdated
        ]
        for notice in session.notices:
            narration.warn(notice)
    if unfinished:
        settings = settings_of(session, model, device, adapter)
        with narration.held_back():
            opened = loaded(settings)
            with Session.open(name, writable=True) as session:
                for id in unfinished:
                    _finish(session, session.step(id), opened, settings, json)
    elif not session.unreadable:
        narration.say(f"session {name} has nothing unfinished")
    _check_readable(session)


def _finish(
    session: Session, recorded: RecordedStep, model: Model, settings: Settings, json: bool
) -> None:
    """Run one step to its end and print its rows; of a part, those of what it is a part of."""
    if recorded.state == "done":  # by one before it, which it is a part of
        return
    step = recorded.step
    narration.say(f"{recorded.id}: {step.title}")
    if recorded.state == "damaged":
        done, expected = recorded.done_rows, recorded.info.expected
        narration.say(
            f"{done:,} of {expected:,} rows can be read; the others are computed again, "
            "and the damaged file stays as it is"
        )

    begun: RecordedStep | None = recorded
    if (whole := step.part_of()) is not None:
        step, begun = whole, None
    finished = follow(session, step, model, settings, begun=begun)
    publish(session, finished, step, model, Destination(None, None, json))


def _check_readable(session: Session) -> None:
    """Raise WorkbenchError if steps of a session cannot be read, so that nobody can go on."""
    if lost := session.unreadable:
        raise WorkbenchError(
            f"{', '.join(lost)} of session {session.name} cannot be read, nor gone on with"
        )
