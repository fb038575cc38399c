"""Writes docs/keys.md from the bindings of the screens: `make docs`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.keys import format_key

from screens.base import TABS, WorkbenchScreen
from screens.widgets.frame_table import FrameTable
from screens.widgets.head_map import HeadMap
from screens.widgets.row_cursor import RowCursor
from workbench.app import WorkbenchApp
from workbench.desk import SCREENS, Desk

PAGE = Path(__file__).with_suffix(".md")
OPENING = """# Keys

`?` shows the keys of the screen in front, `:` or `ctrl+p` finds one by its name. Nothing needs a mouse.
This page is written from the bindings themselves.
"""
SHARED = (
    ("Everywhere", (*Desk.BINDINGS, *WorkbenchScreen.BINDINGS)),
    ("In a replay", WorkbenchApp.BINDINGS),
    ("In tables", (*RowCursor.BINDINGS, *FrameTable.BINDINGS)),
    ("On the map of heads", HeadMap.BINDINGS),
)


def page() -> str:
    """The keys of the program, of its screens and of what they share."""
    labels = {name: f"{key} {label}" for key, name, label in TABS}
    parts = [(labels[each.NAME], each.BINDINGS) for each in SCREENS]
    return "\n".join([OPENING, *(_section(*each) for each in (*SHARED, *parts))])


def _section(title: str, bindings: Iterable[BindingType]) -> str:
    rows = [f"| {' '.join(keys)} | {words} |" for words, keys in _actions(bindings)]
    return "\n".join([f"## {title}", "", "| key | does |", "|---|---|", *rows, ""])


def _actions(bindings: Iterable[BindingType]) -> Iterator[tuple[str, list[str]]]:
    """What can be done, each with all its keys; what has no name is not told."""
    found: dict[str, list[str]] = {}
    for each in Binding.make_bindings(bindings):
        if each.description:
            found.setdefault(each.description, []).append(f"`{format_key(each.key)}`")
    yield from found.items()


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
