"""The list behind `?`: what can be done here, searched as one types, done with enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from screens.finder import Finder


@dataclass(frozen=True)
class Doable:
    """Something that can be done now."""

    words: str
    keys: str
    """As they are written on keyboards."""
    where: str
    """The screen or widget that does it; `everywhere` for what the program does."""


class KeyList(Finder):
    """What can be done, with its keys; gives the place of what was chosen, escape gives None."""

    DEFAULT_CSS = """
    KeyList > Vertical { height: 80%; max-height: 40; }
    KeyList OptionList, KeyList OptionList:focus { height: 1fr; max-height: 100%; }
    """

    def __init__(self, title: str, doable: Sequence[Doable]) -> None:
        super().__init__(title, [_line(each) for each in doable], "does it")


def _line(each: Doable) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{each.keys:<14}", style="bold")
    line.append(f"{each.words:<34}").append(each.where, style="dim")
    return line
