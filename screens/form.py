"""Several short fields in the middle of the screen, and the thing that they make."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantFocus
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from analysis.errors import InputError, WorkbenchError
from analysis.options import ungrouped
from screens.dialogs import BOX, ESCAPE, Problem
from screens.text import lines
from screens.widgets.inputs import LineInput

Made = TypeVar("Made")
_NAMING = re.compile(r"^(?:Invalid value for|Missing option|Missing argument) '")
"""What may stand before the name of a field."""
_DIGITS = 9
"""Of a number that anybody means."""


@dataclass(frozen=True)
class Field:
    """One line of a form."""

    name: str
    value: str = ""
    """What stands there at first: the default."""
    help: str = ""
    """What it is for, shown while the cursor is in it."""


class Form(ModalScreen[Made | None], Generic[Made]):
    """Fields with their defaults; what is wrong with them is said in place. Escape gives None.

    Args:
        question: what they are for.
        fields: the lines, the one to fill in first.
        make: makes something of the values by name, or raises InputError.
        note: what else there is to know.
        typed: values by name that stand there instead of the defaults; told of what is typed.
    """

    DEFAULT_CSS = (
        BOX.format(name="Form")
        + """
    Form Horizontal { height: 1; }
    Form > Vertical { max-height: 95%; }
    Form .name { width: 15; color: $text-muted; }
    Form Input, Form Input:focus { width: 1fr; margin-top: 0; }
    Form #fields { height: auto; max-height: 9; margin-top: 1; scrollbar-size-vertical: 1; }
    Form Problem { margin: 0 0 0 15; }
    Form #help { color: $text-muted; height: 2; margin-top: 1; width: 100%; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        ESCAPE,
        Binding("enter", "accept", "Accept", priority=True),
        Binding("down,tab", "app.focus_next", show=False, priority=True),
        Binding("up,shift+tab", "app.focus_previous", show=False, priority=True),
    ]

    def __init__(
        self,
        question: str,
        fields: tuple[Field, ...],
        make: Callable[[dict[str, str]], Made],
        note: str = "",
        typed: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._question, self.fields, self.make, self._note = question, fields, make, note
        self._typed = {} if typed is None else typed

    def compose(self) -> ComposeResult:
        """Question, fields, what is wrong, keys."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            with VerticalScroll(id="fields", can_focus=False):
                for each in self.fields:
                    with Horizontal():
                        yield Static(each.name, classes="name", markup=False)
                        yield LineInput(self._typed.get(each.name, each.value), name=each.name)
                yield Problem()
            yield Static("", id="help", markup=False)
            keys = "enter accepts · tab next field · esc cancels"
            last = f"{self._note}\n{keys}" if self._note else keys
            yield Static(lines(last), classes="hint", markup=False)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Say what the field is for that the cursor came to."""
        help = next((each.help for each in self.fields if each.name == event.widget.name), "")
        self.query_one("#help", Static).update(lines(help))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Remember for the next time."""
        self._typed[str(event.input.name)] = event.value
        self.query_one(Problem).say(None)

    def action_accept(self) -> None:
        """Answer with what the fields make, or say why they make nothing."""
        values = {str(each.name): each.value.strip() for each in self.query(Input)}
        try:
            made = self.make(values)
        except WorkbenchError as error:
            self._refuse(error)
        else:
            self.dismiss(made)

    def _refuse(self, error: WorkbenchError) -> None:
        """Say it under the field that it names, or under the one that was typed in."""
        inputs, first = list(self.query(Input)), _NAMING.sub("", str(error)).lower()
        named = [each for each in inputs if first.startswith(str(each.name))]
        field = (named or [each for each in inputs if each.has_focus] or inputs)[0]
        problem = self.query_one(Problem)
        if isinstance(row := field.parent, Horizontal):
            self.query_one("#fields").move_child(problem, after=row)
        problem.say(error)
        field.focus()
        self.call_after_refresh(problem.scroll_visible, animate=False)


def whole(name: str, values: dict[str, str], least: int = 1) -> int:
    """The whole number in a field.

    Raises:
        InputError: there is none, or it is too small.
    """
    text = ungrouped(values[name])
    if not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
        raise InputError(f"{name} {values[name]!r}: give a whole number from {least} up")
    return int(text)
