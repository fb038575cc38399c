"""What the program leaves on the terminal behind it: what is kept, and how to go on."""

from __future__ import annotations

import shlex

from analysis.errors import WorkbenchError
from screens.text import counted, one_line
from screens.words import how_far
from sessions import Session
from workbench.runs import Runs
from workbench.settings import Settings


def goodbye(runs: Runs, replayed: Session | None) -> list[str]:
    """The last lines: the session with what is unfinished in it, and the command that opens it.

    Args:
        runs: what was worked on; it has been closed.
        replayed: a session that was looked at only, for where none was worked on.
    """
    session = runs.session
    if session is not None and not session.folder.exists():
        session = None  # its only step came to nothing
    if session is None or runs.settings is None:
        return [] if replayed is None or replayed.writable else [_of_replay(replayed)]
    unfinished = _unfinished(session)
    what = unfinished[-1] if unfinished else counted(len(session.steps), "step")
    if len(unfinished) > 1:
        what += f"; {len(unfinished) - 1} more unfinished"
    verb = "go on" if unfinished else "look again"
    return [
        one_line(f" kept in session {session.name}: {what}"),
        f" {verb} with:  {command(session, runs.settings)}",
    ]


def _of_replay(session: Session) -> str:
    again = shlex.join(["workbench", "replay", session.address])
    return f"session {session.name} · look again with: {again}"


def _unfinished(session: Session) -> list[str]:
    """How far each step came that is not done, as it is on disk now."""
    try:
        steps = [(each, each.listed_state) for each in Session(session.folder).steps]
        return [
            how_far(each.step, state, each.listed_rows, each.info.expected)
            for each, state in steps
            if state != "done" and not each.outdated
        ]
    except WorkbenchError:
        return []


def command(session: Session, settings: Settings) -> str:
    """The command that goes on in a session, ready for a shell.

    Args:
        session: one of the user's own.
        settings: the model that it is worked on with: a record names neither folder nor adapter.
    """
    words = ["workbench", "--session", session.name]
    if settings.model != session.info.model.name:
        words += ["--model", settings.model]
    if settings.adapter is not None:
        words += ["--adapter", str(settings.adapter)]
    return shlex.join(words)
