"""A list in the middle of the screen that is searched as one types."""

from __future__ import annotations

from collections.abc import Sequence
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


class Finder(ModalScreen[int | None]):
    """Gives the place of the line that was chosen; escape gives None.

    Args:
        title: what is searched.
        lines: what can be found.
        does: what enter does with a line.
    """

    DEFAULT_CSS = (
        BOX.format(name="Finder")
        + """
    Finder > Vertical { max-height: 90%; }
    Finder OptionList, Finder OptionList:focus {
        scrollbar-size-vertical: 1;
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

    def __init__(self, title: str, lines: Sequence[Text], does: str) -> None:
        super().__init__()
        self._title, self._lines, self._does = title, lines, does

    def compose(self) -> ComposeResult:
        """What is searched, and what was found."""
        with Vertical():
            yield Static(lines(self._title), classes="question", markup=False)
            yield LineInput(placeholder="type to search", select_on_focus=False)
            yield OptionList(*self._options(""), markup=False)
            hint = f"enter {self._does} · ↑ ↓ move · esc closes"
            yield Static(hint, classes="hint", markup=False)

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
            Option(line, str(place))
            for place, line in enumerate(self._lines)
            if all(word in line.plain.lower() for word in words)
        ]
