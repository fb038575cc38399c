"""Small questions in the middle of the screen: a line of text, a choice, yes or no."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from analysis.errors import InputError
from screens.text import lines
from screens.widgets.line_input import LineInput

BOX = """
{name} {{ align: center middle; background: $background 60%; }}
{name} > Vertical {{
    width: 76; max-width: 94%; height: auto; max-height: 80%;
    background: $surface; padding: 1 2; border-left: outer $accent;
}}
{name} .question {{ text-style: bold; }}
{name} .hint {{ color: $text-muted; margin-top: 1; width: 100%; }}
{name} Problem {{ color: $text-error; display: none; margin-top: 1; width: 100%; }}
{name} Input, {name} Input:focus {{
    border: none; padding: 0 1; height: 1; margin-top: 1; background: $boost;
}}
{name} OptionList, {name} OptionList:focus {{
    border: none; padding: 0; margin-top: 1; height: auto; max-height: 12; background: $surface;
    & > .option-list--option-highlighted {{
        background: $foreground 10%; color: $accent; text-style: bold;
    }}
}}
"""
"""How a dialog of this name looks."""


class Problem(Static):
    """What is wrong with what was typed; not there until something is."""

    def say(self, error: InputError) -> None:
        """Show a reason in place."""
        self.update(Text(lines(str(error))))
        self.display = True


class Ask(ModalScreen[str | None]):
    """One line of text; what is wrong with it is said in place. Escape gives None.

    Args:
        question: what it is for.
        value: what stands there at first.
        hint: how it may look.
        check: raises InputError where a text will not do.
        select: whether typing takes the place of what stands there.
        escapes: the line is a text that is read by `unescaped`.
    """

    DEFAULT_CSS = BOX.format(name="Ask")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel")]

    def __init__(
        self,
        question: str,
        value: str = "",
        hint: str = "",
        *,
        check: Callable[[str], None] = lambda text: None,
        select: bool = False,
        escapes: bool = False,
    ) -> None:
        super().__init__()
        self._question, self._value, self._hint = question, value, hint
        self._check, self._select, self._escapes = check, select, escapes

    def compose(self) -> ComposeResult:
        """Question, field, what is wrong, hint."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            yield LineInput(self._value, select_on_focus=self._select, escapes=self._escapes)
            yield Problem()
            keys = "enter accepts · esc cancels"
            hint = f"{self._hint} · {keys}" if self._hint else keys
            yield Static(lines(hint), classes="hint", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, unless the text will not do."""
        try:
            self._check(event.value)
        except InputError as error:
            self.query_one(Problem).say(error)
        else:
            self.dismiss(event.value)


class Choose(ModalScreen[str | None]):
    """One of several; escape gives None."""

    DEFAULT_CSS = BOX.format(name="Choose")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    def __init__(self, question: str, options: list[str]) -> None:
        super().__init__()
        self._question, self._options = question, options

    def compose(self) -> ComposeResult:
        """Question and options."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            yield OptionList(*(Option(lines(each)) for each in self._options), markup=False)
            yield Static("enter chooses · esc cancels", classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Answer."""
        self.dismiss(self._options[event.option_index])

    def action_down(self) -> None:
        """Next option."""
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        """Option before."""
        self.query_one(OptionList).action_cursor_up()


class Confirm(ModalScreen[bool]):
    """Yes or no; no is the safe answer."""

    DEFAULT_CSS = BOX.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No"),
    ]

    def __init__(self, question: str, hint: str = "") -> None:
        super().__init__()
        self._question, self._hint = question, hint

    def compose(self) -> ComposeResult:
        """Question and keys."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            if self._hint:
                yield Static(lines(self._hint), markup=False)
            yield Static("y yes · n no", classes="hint")
