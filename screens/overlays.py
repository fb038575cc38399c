"""Over a screen for one thing: text to select, a theme to look at, a key to press."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from analysis.errors import InputError
from screens.dialogs import BOX, Problem
from screens.text import lines


class SelectableText(ModalScreen[None]):
    """A text over the whole screen, with nothing beside it that would be selected too.

    Args:
        text: what was to be copied.
        what: what it is.
        why: the terminal that takes nothing from programs.
        file: where the text lies too; None: nowhere.
    """

    DEFAULT_CSS = """
    SelectableText { background: $background; }
    SelectableText > .head { height: auto; color: $text-warning; }
    SelectableText > VerticalScroll { height: 1fr; margin: 1 0; scrollbar-size-vertical: 0; }
    SelectableText #copied { height: auto; }
    SelectableText > .hint { height: 1; color: $text-muted; }
    """

    def __init__(self, text: str, what: str, why: str, file: str | None) -> None:
        super().__init__()
        self._text = text
        found = f", or take the file {file}" if file else ""
        self._head = (
            f"Not copied: {why} takes nothing from programs. Select {what} with the "
            f"mouse, shift held down{found}."
        )

    def compose(self) -> ComposeResult:
        """Why it is shown, the text, how it is left."""
        yield Static(Text(lines(self._head)), classes="head", markup=False)
        with VerticalScroll(can_focus=True):
            yield Static(Text(lines(self._text.expandtabs())), id="copied", markup=False)
        yield Static("↑ ↓ scroll · esc closes", classes="hint", markup=False)

    def on_key(self, event: Key) -> None:
        """Leave it."""
        if event.key in ("escape", "enter", "q"):
            event.stop()
            self.dismiss(None)


class ThemeChoice(ModalScreen[str | None]):
    """One of the themes, each seen while the cursor is on it; escape gives None.

    Args:
        themes: their names.
        now: the one in use.
    """

    DEFAULT_CSS = BOX.format(name="ThemeChoice") + "ThemeChoice > Vertical { width: 40; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("j", "move('down')", show=False),
        Binding("k", "move('up')", show=False),
    ]

    def __init__(self, themes: Sequence[str], now: str) -> None:
        super().__init__()
        self._themes, self._now = tuple(themes), now

    def compose(self) -> ComposeResult:
        """The themes."""
        with Vertical():
            yield Static("Theme", classes="question")
            yield OptionList(*(Option(lines(each)) for each in self._themes), markup=False)
            yield Static("↑ ↓ look · enter keeps · esc cancels", classes="hint")

    def on_mount(self) -> None:
        """Begin at the one in use."""
        if self._now in self._themes:
            self.query_one(OptionList).highlighted = self._themes.index(self._now)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Let it be seen."""
        self.app.theme = self._themes[event.option_index]

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Keep it."""
        self.dismiss(self._themes[event.option_index])

    def action_move(self, where: str) -> None:
        """Walk as with the arrows."""
        getattr(self.query_one(OptionList), f"action_cursor_{where}")()


class PressKey(ModalScreen[str | None]):
    """Takes the next key that is pressed, unless something has it already; escape gives None.

    Args:
        words: what the key is to do.
        conflict: what a key does already; None: it is free.
    """

    DEFAULT_CSS = BOX.format(name="PressKey")

    def __init__(self, words: str, conflict: Callable[[str], str | None]) -> None:
        super().__init__()
        self._words, self._conflict = words, conflict

    def compose(self) -> ComposeResult:
        """What is asked, and why a key was not taken."""
        with Vertical():
            yield Static(lines(f"Press the new key: {self._words}"), classes="question")
            yield Problem()
            yield Static("the next key is taken · esc cancels", classes="hint")

    def on_key(self, event: Key) -> None:
        """Take a key."""
        event.stop()
        event.prevent_default()
        if event.key == "escape":
            self.dismiss(None)
        elif (reason := self._conflict(event.key)) is not None:
            self.query_one(Problem).say(InputError(reason))
        else:
            self.dismiss(event.key)
