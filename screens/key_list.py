"""The list behind `?`: what can be done here, searched as one types, done with enter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from screens.dialogs import BOX
from screens.text import lines
from screens.widgets.line_input import LineInput


@dataclass(frozen=True)
class Doable:
    """Something that can be done now."""

    words: str
    keys: str
    """As they are written on keyboards."""
    where: str
    """The screen or widget that does it; `everywhere` for what the program does."""


class KeyList(ModalScreen[int | None]):
    """What can be done, with its keys; gives the place of what was chosen, escape gives None."""

    DEFAULT_CSS = (
        BOX.format(name="KeyList")
        + """
    KeyList > Vertical { height: 80%; max-height: 40; }
    KeyList OptionList, KeyList OptionList:focus {
        height: 1fr; max-height: 100%; scrollbar-size-vertical: 1;
        scrollbar-color: $foreground 25%; scrollbar-background: $surface;
    }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close"),
        Binding("down", "move('cursor_down')", show=False, priority=True),
        Binding("up", "move('cursor_up')", show=False, priority=True),
        Binding("pagedown", "move('page_down')", show=False, priority=True),
        Binding("pageup", "move('page_up')", show=False, priority=True),
    ]

    def __init__(self, title: str, doable: Sequence[Doable]) -> None:
        super().__init__()
        self._title, self._doable = title, doable

    def compose(self) -> ComposeResult:
        """What is searched, and what was found."""
        with Vertical():
            yield Static(lines(self._title), classes="question", markup=False)
            yield LineInput(placeholder="type to search", select_on_focus=False)
            yield OptionList(*self._options(""), markup=False)
            yield Static("enter does it · ↑ ↓ move · esc closes", classes="hint", markup=False)

    def on_mount(self) -> None:
        """The first one is under the cursor."""
        self.query_one(OptionList).highlighted = 0

    @on(Input.Changed)
    def _search(self, event: Input.Changed) -> None:
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options(self._options(event.value))
        found.highlighted = 0 if found.option_count else None

    @on(Input.Submitted)
    def _choose(self) -> None:
        found = self.query_one(OptionList)
        if found.highlighted is not None:
            self._done(found.get_option_at_index(found.highlighted))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self._done(event.option)

    def _done(self, option: Option) -> None:
        self.dismiss(int(option.id or 0))

    def action_move(self, how: str) -> None:
        """Walk the list while the search has the keys."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def _options(self, search: str) -> list[Option]:
        words = search.lower().split()
        return [
            Option(_line(each), str(place))
            for place, each in enumerate(self._doable)
            if all(word in f"{each.words} {each.keys} {each.where}".lower() for word in words)
        ]


def _line(each: Doable) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{each.keys:<14}", style="bold")
    line.append(f"{each.words:<34}").append(each.where, style="dim")
    return line
