"""What can be done from the screen in front: for the list of keys, last used first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from textual.app import App
from textual.binding import ActiveBinding

from screens.base import WorkbenchScreen
from screens.dialogs import Doable
from screens.forms import asked_on_screens
from screens.text import cell_fit

SUMMARY = 48
"""Cells of what an analysis does, so that its line is one."""
RECENT = 5
"""Actions done from the list that stand on top of it."""


@dataclass(frozen=True)
class Command:
    """Something that can be done, and how."""

    shown: Doable
    run: Callable[[], Any]


def commands(app: App[Any], screen: WorkbenchScreen) -> list[Command]:
    """What can be done, each with all its keys: on the screen, in its widgets, anywhere.

    Args:
        app: the application.
        screen: the screen in front; from every screen a form asks for any step.
    """
    found: dict[str, Command] = {}
    ranks: dict[str, int] = {}
    for active in screen.active_bindings.values():
        words, key = active.binding.description, app.get_key_display(active.binding)
        if not words or not active.enabled or active.binding.system:
            continue
        if words in found:
            shown = found[words].shown
            both = replace(shown, keys=f"{shown.keys} {key}")
            found[words] = replace(found[words], shown=both)
            continue
        rank, where = _place(screen.name, active)
        found[words] = Command(Doable(words, key, where), partial(_do, app, active))
        ranks[words] = rank
    for kind, step in ({} if screen.workspace.replaying else asked_on_screens()).items():
        words = cell_fit(step.summary_line(), SUMMARY).rstrip()
        shown = Doable(words, kind, "form", "form")
        found[words], ranks[words] = Command(shown, partial(screen.ask_for, step)), 6
    return sorted(found.values(), key=lambda each: ranks[each.shown.words])


def recent_first(found: Iterable[Command], recent: Sequence[str]) -> list[Command]:
    """The same with what was done last on top.

    Args:
        found: what can be done.
        recent: words of what was done from the list before, the latest first.
    """
    places = {words: place for place, words in reversed([*enumerate(recent)])}
    return sorted(found, key=lambda each: places.get(each.shown.words, len(recent)))


def _place(screen: str | None, active: ActiveBinding) -> tuple[int, str]:
    """How far down an action stands, and where it works, by the scope in its id."""
    scope = (active.binding.id or "").partition(".")[0]
    if scope == screen:
        return 0, "this screen"
    known = {"replay": (1, "replay"), "rows": (3, "rows"), "app": (4, "everywhere"), "": (5, "")}
    return known.get(scope, (2, "at the cursor"))


async def _do(app: App[Any], active: ActiveBinding) -> None:
    await app.run_action(active.binding.action, active.node)
