"""The palette: every screen and every key of the screen in front, as commands to search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from textual.app import App, SystemCommand
from textual.binding import ActiveBinding
from textual.screen import Screen

from screens.base import TABS


def commands(
    app: App[Any], screen: Screen[Any], visit: Callable[[str], None]
) -> Iterable[SystemCommand]:
    """What the palette offers before Textual's own commands.

    Args:
        app: the application.
        screen: the screen behind the palette.
        visit: shows a screen by its name.
    """
    for key, name, label in TABS:
        yield SystemCommand(label, f"Show this screen (key {key})", partial(visit, name))
    offered = {label for _, _, label in TABS}
    for active in screen.active_bindings.values():
        words = active.binding.description
        if words and active.enabled and words not in offered:
            offered.add(words)
            key = app.get_key_display(active.binding)
            yield SystemCommand(words, f"Key {key}", partial(_press, app, active))


async def _press(app: App[Any], active: ActiveBinding) -> None:
    await app.run_action(active.binding.action, active.node)
