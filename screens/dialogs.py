"""Small questions in the middle of the screen: a line of text, a list, yes or no."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from analysis.errors import WorkbenchError
from screens.matching import best
from screens.text import cell_fit, counted, lines, one_line, visible
from screens.widgets.inputs import LineInput

WIDTH, WIDEST = 76, 0.94
"""Cells of a dialog, and the share of a terminal that it takes at most."""
AROUND = 6
"""Cells of it that are left and right of a list."""
KEYS = 13
"""Cells of the keys in a list, with the space behind them."""
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

ESCAPE = Binding("escape", "dismiss(None)", "Cancel", priority=True)
"""It acts before the next key is taken: over a slow line many come at once."""


class Problem(Static):
    """What is wrong with what was typed; not there until something is, nor once it is changed."""

    def say(self, error: WorkbenchError | None) -> None:
        """Show a reason in place; None: there is none any more."""
        self.update(Text(lines(str(error or ""))))
        self.display = error is not None


class Ask(ModalScreen[str | None]):
    """One line of text; what is wrong with it is said in place. Escape gives None.

    Args:
        question: what it is for.
        value: what stands there at first.
        hint: how it may look.
        check: raises WorkbenchError where a text will not do; what can fail is done here, so that
            the words are still there when it does.
        select: whether typing takes the place of what stands there.
        escapes: the line is a text that is read by `unescaped`.
        typed: holds under the question what was typed and not taken, so that it stands there again.
    """

    DEFAULT_CSS = BOX.format(name="Ask")
    BINDINGS: ClassVar[list[BindingType]] = [
        ESCAPE,
        Binding("enter", "accept", "Accept", priority=True),
    ]

    def __init__(
        self,
        question: str,
        value: str = "",
        hint: str = "",
        *,
        check: Callable[[str], object] = lambda text: None,
        select: bool = False,
        escapes: bool = False,
        typed: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._typed = {} if typed is None else typed
        self._question, self._first = question, value
        self._value = self._typed.get(question, value)
        self._hint, self._check = hint, check
        self._select, self._escapes = select, escapes

    def compose(self) -> ComposeResult:
        """Question, field, what is wrong, hint."""
        with Vertical():
            yield Static(lines(self._question), classes="question", markup=False)
            yield LineInput(self._value, select_on_focus=self._select, escapes=self._escapes)
            yield Problem()
            keys = "enter accepts · esc cancels"
            hint = f"{self._hint} · {keys}" if self._hint else keys
            yield Static(lines(hint), classes="hint", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Remember for the next time."""
        self._typed[self._question] = event.value
        if event.value == self._first:
            del self._typed[self._question]
        self.query_one(Problem).say(None)

    def action_accept(self) -> None:
        """Answer, unless the text will not do."""
        value = self.query_one(Input).value
        try:
            self._check(value)
        except WorkbenchError as error:
            self.query_one(Problem).say(error)
        else:
            self._typed.pop(self._question, None)
            self.dismiss(value)


class Confirm(ModalScreen[bool]):
    """Yes or no; no is the safe answer."""

    DEFAULT_CSS = BOX.format(name="Confirm")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No", priority=True),
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
    Finder .nothing { color: $text-muted; display: none; margin-top: 1; width: 100%; height: auto; }
    Finder OptionList, Finder OptionList:focus {
        scrollbar-size-vertical: 1;
        scrollbar-color: $foreground 25%; scrollbar-background: $surface;
    }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        ESCAPE,
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
            yield Static(classes="nothing", markup=False)
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
        found.display = bool(found.option_count)
        nothing = self.query_one(".nothing", Static)
        nothing.display = not found.option_count
        nothing.update(f"nothing fits {visible(event.value.strip())} among {self.among}")

    @property
    def among(self) -> str:
        """What is looked through, in words."""
        return counted(len(self._lines), "line")

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
        found = best(search, [line.plain for line in self._lines])
        return [Option(self._lines[place], str(place)) for place in found]


@dataclass(frozen=True)
class Doable:
    """Something that can be done, or gone to."""

    words: str
    keys: str
    """As they are written on keyboards; of what has none, what it is."""
    where: str
    """The screen or widget that does it; `everywhere` for what the program does."""
    group: str = "action"
    """What there are several of, in the singular."""


class KeyList(Finder):
    """What can be done, with its keys; gives the place of what was chosen, escape gives None.

    Args:
        title: what is searched.
        doable: what can be done.
        width: cells of the terminal.
    """

    DEFAULT_CSS = """
    KeyList > Vertical { height: 80%; max-height: 40; }
    KeyList OptionList, KeyList OptionList:focus { height: 1fr; max-height: 100%; }
    """

    def __init__(self, title: str, doable: Sequence[Doable], width: int) -> None:
        places = max((cell_len(each.where) for each in doable), default=0)
        room = min(WIDTH, int(WIDEST * width)) - AROUND
        words = room - KEYS - places - 2
        super().__init__(title, [_line(each, words) for each in doable], "does it")
        self._groups = Counter(each.group for each in doable)

    @property
    def among(self) -> str:
        """How many of each group are looked through."""
        return ", ".join(counted(number, group) for group, number in self._groups.items())


def _line(each: Doable, width: int) -> Text:
    """What is done in so many cells, behind its keys and before its place."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{cell_fit(each.keys, KEYS - 1)} ", style="bold")
    line.append(f"{cell_fit(one_line(each.words), width)}  ").append(each.where, style="dim")
    return line
