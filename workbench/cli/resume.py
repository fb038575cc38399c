"""`workbench resume`: finish what was interrupted."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options


def resume(
    name: Annotated[str, typer.Argument(help="The session to go on with.", show_default=False)],
    model: options.ModelName = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    json: options.Json = False,
) -> None:
    """Run the unfinished steps of a session to their end."""
    from analysis.columns import tabled
    from sessions import Session
    from workbench.cli import narration
    from workbench.cli.steps import Destination, follow, loaded, publish, settings_of

    with Session.open(name) as session:
        unfinished = [each for each in session.steps if each.info.state != "done"]
    if not unfinished:
        narration.say(f"session {name} has nothing unfinished")
        return
    settings = settings_of(session, model, device, adapter)
    with narration.held_back():
        opened = loaded(settings)
        with Session.open(name, writable=True) as session:
            for recorded in session.steps:
                if recorded.info.state != "done":
                    narration.say(f"{recorded.id}: {recorded.step.title}")
                    finished = follow(session, recorded.step, opened, settings, recorded)
                    columns = tabled(recorded.step.columns)
                    publish(
                        session,
                        finished,
                        recorded.step,
                        opened,
                        Destination(None, None, json),
                        columns,
                    )
