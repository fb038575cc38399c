"""Several short fields in the middle of the screen, and the thing that they make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from analysis.errors import InputError
from screens.dialogs import BOX, Problem
from screens.text import lines
from screens.widgets.inputs import LineInput

Made = TypeVar("Made")
_DIGITS = 9
"""Of a number that anybody means."""


@dataclass(frozen=True)
class Field:
    """One line of a form."""

    name: str
    value: str = ""
    """What stands there at first: the default."""
    hint: str = ""


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
    Form .name { width: 12; color: $text-muted; }
    Form .of { color: $text-muted; padding-left: 1; }
    Form Input, Form Input:focus { width: 1fr; margin-top: 0; }
    Form #fields { height: auto; margin-top: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
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
        self._question, self._fields, self._make, self._note = question, fields, make, note
        self._typed = {} if typed is None else typed

    def compose(self) -> ComposeResult:
        """Question, fields, what is wrong, keys."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            with Vertical(id="fields"):
                width = 1 + max(len(each.hint) for each in self._fields)
                for each in self._fields:
                    with Horizontal():
                        yield Static(each.name, classes="name", markup=False)
                        yield LineInput(self._typed.get(each.name, each.value), name=each.name)
                        hint = Static(each.hint, classes="of", markup=False)
                        hint.styles.width = width
                        yield hint
            yield Problem()
            keys = "enter accepts · tab next field · esc cancels"
            last = f"{self._note}\n{keys}" if self._note else keys
            yield Static(lines(last), classes="hint", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Remember for the next time."""
        self._typed[str(event.input.name)] = event.value

    def on_input_submitted(self) -> None:
        """Answer with what the fields make, or say why they make nothing."""
        values = {str(each.name): each.value.strip() for each in self.query(Input)}
        try:
            made = self._make(values)
        except InputError as error:
            self.query_one(Problem).say(error)
        else:
            self.dismiss(made)


def whole(name: str, values: dict[str, str], least: int = 1) -> int:
    """The whole number in a field.

    Raises:
        InputError: there is none, or it is too small.
    """
    text = values[name]
    if not text.isdecimal() or len(text) > _DIGITS or int(text) < least:
        raise InputError(f"{name} {text!r}: give a whole number from {least} up")
    return int(text)


def yes(name: str, values: dict[str, str]) -> bool:
    """Whether a field says yes.

    Raises:
        InputError: it says neither yes nor no.
    """
    if values[name] not in ("yes", "no"):
        raise InputError(f"{name} {values[name]!r}: say yes or no")
    return values[name] == "yes"
