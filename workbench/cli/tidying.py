"""`workbench sessions rename`, `rm` and `prune`: keeping order among sessions."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import completing, options

if TYPE_CHECKING:
    from sessions import SessionSummary

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it without asking.")]

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def rename(
    old: Annotated[
        str,
        typer.Argument(help="A session.", show_default=False, autocompletion=completing.sessions),
    ],
    new: Annotated[str, typer.Argument(help="What to call it.", show_default=False)],
) -> None:
    """Give a session another name."""
    from sessions import rename_session
    from workbench.exporting import check_allowed

    check_allowed(options.settings(), "renamed")
    rename_session(old, new)


def rm(
    names: Annotated[
        list[str],
        typer.Argument(help="Sessions.", show_default=False, autocompletion=completing.sessions),
    ],
    yes: Yes = False,
) -> None:
    """Remove sessions with all that is recorded in them."""
    from analysis.errors import InputError, WorkbenchError
    from sessions import list_sessions, remove_session
    from sessions.paths import check_own, checked_name, located, root
    from workbench.exporting import check_allowed

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
    import shutil

    from screens.text import counted
    from sessions import leftovers, list_sessions, prunable, remove_session
    from workbench.cli import narration
    from workbench.exporting import check_allowed

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
    from analysis.errors import InputError

    match = re.fullmatch(r"([0-9]{1,5})([hdw])", text)
    if match is None:
        raise InputError(f"--older-than {text}: give hours, days or weeks, as 12h, 30d or 8w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _confirmed(chosen: Sequence[SessionSummary], yes: bool) -> bool:
    """Say what would be removed and ask, unless that is answered already.

    Raises:
        InputError: there is nobody to ask.
    """
    from analysis.errors import InputError
    from screens.text import age, counted, size
    from workbench.cli import narration

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
