"""The form of one case: what is typed, as the model reads it, and what it would say, side by side.

It is a list of fields, each a text of the case; what is known of them comes from the job thread by
message while one types, and is never waited for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import DescendantFocus, Resize
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from analysis.errors import InputError
from analysis.tasks.answers import Standing
from analysis.tasks.prompts import Prompt, PromptSet, as_prompt, escaped, unescaped
from screens.dialogs import BOX, ESCAPE, Problem
from screens.messages import ReadingRequested
from screens.text import lines, number, one_line, probability, visible
from screens.widgets.inputs import TextInput
from screens.widgets.token_strip import TokenStrip
from screens.words import rather
from screens.workspace import Reading, Workspace

PAUSE = 0.15
"""Seconds without a key after which the model is asked what it makes of it."""
LOW = 22
"""Lines below which there are no blank ones."""
HINT = (
    "enter takes it · ctrl+n keeps it beside the other cases · ctrl+j line break · "
    "tab next field · esc back, kept as a draft"
)
NAME = "prompt"
"""Of a set of cases that were typed."""
TYPED = " and typed"
"""Behind the name of a set that typed cases were put beside."""


@dataclass(frozen=True)
class CaseField:
    """One text of a case, or several."""

    name: str
    """Of the field of `Prompt` that it fills."""
    help: str
    several: bool = False
    """Each of its lines is a text of its own."""

    def shown(self, prompt: Prompt) -> str:
        """What stands in it for a case."""
        value = getattr(prompt, self.name) or ()
        if self.several:
            return "\n".join(map(escaped, (value,) if isinstance(value, str) else value))
        return "\n".join(map(escaped, value.split("\n"))) if value else ""

    def read(self, text: str) -> Any:
        """What it makes of what is typed; None: nothing."""
        if self.several:
            return [unescaped(each) for each in text.split("\n") if each] or None
        return unescaped(text) or None


FIELDS = (
    CaseField("prompt", "The text to continue, as it is: spaces count."),
    CaseField("answer", "What to measure, several one a line; empty: the top prediction.", True),
    CaseField("corrupt", "A prompt to compare with, of as many tokens; or leave it empty."),
    CaseField("wrong", "What the answer is measured against, several one a line; or empty.", True),
)


class CaseForm(ModalScreen[tuple[PromptSet, int] | None]):
    """Takes a case; gives the cases to work on and the place of it among them, escape None.

    Args:
        workspace: what the screens work on.
        prompt: the case to begin from; None: nothing.
        typed: what was typed before and not taken, by field; told of what is typed.
    """

    DEFAULT_CSS = (
        BOX.format(name="CaseForm")
        + """
    CaseForm > Vertical { width: 100; max-width: 98%; max-height: 100%; padding: 1 1 0 2; }
    CaseForm VerticalScroll { height: auto; scrollbar-size-vertical: 1; }
    CaseForm .field { height: auto; margin-top: 1; }
    CaseForm .field > Horizontal { height: auto; }
    CaseForm .name { width: 9; color: $text-muted; }
    CaseForm .read { margin-left: 10; height: auto; max-height: 3; display: none; }
    CaseForm .told { margin-left: 10; height: auto; width: 1fr; display: none; }
    CaseForm Problem { margin: 0 0 0 10; }
    CaseForm #help { color: $text-muted; height: 1; margin-top: 1; width: 100%; }
    CaseForm .hint { margin-top: 0; }
    CaseForm.-short > Vertical { padding: 0 1; }
    CaseForm.-short .field { margin-top: 0; }
    CaseForm.-short #help { display: none; }
    """
    )
    VERTICAL_BREAKPOINTS = [(0, "-short"), (LOW, "-high")]  # noqa: RUF012 (as in the base)
    BINDINGS: ClassVar[list[BindingType]] = [
        ESCAPE,
        Binding("enter", "take", "Take it", priority=True),
        Binding("ctrl+n,ctrl+s", "keep", "Keep as a case beside the others"),
        # Not alt+enter, which is what escape and enter send.
        Binding("ctrl+j,shift+enter", "break", "Break the line", priority=True),
        Binding("tab", "app.focus_next", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", show=False, priority=True),
        Binding("ctrl+r", "respell", "Spell it as the model does"),
    ]

    def __init__(self, workspace: Workspace, prompt: Prompt | None, typed: dict[str, str]) -> None:
        super().__init__()
        self._workspace, self._typed = workspace, typed
        first = {each.name: each.shown(prompt) if prompt else "" for each in FIELDS}
        self._first = first | typed
        self._asked: Prompt | None = None
        """The case that the model was asked about last."""
        self._reading = workspace.reading if workspace.reading and prompt else None
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """The fields, each over what is read in it; the keys."""
        with Vertical():
            yield Static("Case", classes="question")
            with VerticalScroll(can_focus=False):
                for each in FIELDS:
                    with Vertical(classes="field", id=f"of-{each.name}"):
                        with Horizontal():
                            yield Static(each.name, classes="name")
                            yield TextInput(self._first[each.name], name=each.name)
                        strip = TokenStrip()
                        strip.can_focus = False
                        strip.add_class("read")
                        yield strip
                        yield Static(classes="told", markup=False)
                yield Problem()
            yield Static("", id="help", markup=False)
            yield Static(HINT, classes="hint")

    def on_mount(self) -> None:
        """Read what stands there at first; a draft is typed over, or gone on with."""
        first = self._inputs()[0]
        if self._typed and first.text:
            first.select_all()
        else:
            first.move_cursor(first.document.end)
        first.focus()
        self._read()

    def on_resize(self, event: Resize) -> None:
        """Leave the lines around the fields in sight."""
        low = event.size.height < LOW
        hint = -(-len(HINT) // max(event.size.width - 6, 1))
        room = event.size.height - hint - (1 if low else 5)
        self.query_one(VerticalScroll).styles.max_height = max(room, 3)

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Say what the field is for that the cursor came to."""
        help = next((each.help for each in FIELDS if each.name == event.widget.name), "")
        self.query_one("#help", Static).update(lines(help))
        if help:  # with what is read in it
            self._part(str(event.widget.name)).scroll_visible(animate=False)

    def _inputs(self) -> list[TextInput]:
        return list(self.query(TextInput))

    def _part(self, name: str) -> Widget:
        """A field with what is told of it."""
        return self.query_one(f"#of-{name}")

    def _case(self) -> Prompt:
        """What is typed.

        Raises:
            InputError: it is no case.
        """
        fields = zip(FIELDS, self._inputs(), strict=True)
        given = {field.name: field.read(each.text) for field, each in fields}
        return as_prompt(**{name: each for name, each in given.items() if each is not None})

    # Reading while one types

    @on(TextInput.Changed)
    def _keep_draft(self, event: TextInput.Changed) -> None:
        """Remember what is typed, and have it read when the keys pause."""
        for each in self._inputs():
            if each.text != self._first[str(each.name)] or each.name in self._typed:
                self._typed[str(each.name)] = each.text
        self.query_one(Problem).say(None)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(PAUSE, self._read)

    def _read(self) -> None:
        """Ask the job thread what the model makes of it."""
        try:
            case = self._case()
        except InputError:
            self._asked = self._reading = None  # said when it is to be taken
        else:
            if case != self._asked:
                self._asked = case
                self.post_message(ReadingRequested(case))
        self.refresh_all()

    def refresh_all(self) -> None:
        """Show what is known of what is typed; called by the app after each change."""
        if not self.is_mounted:
            return
        drafted = self._workspace.drafted
        if self._asked is not None and drafted is not None and drafted.prompt == self._asked:
            self._reading = drafted
        told = self._told(self._reading)
        for each in FIELDS:
            part = self._part(each.name)
            strip, words = part.query_one(TokenStrip), part.query_one(".told", Static)
            self._show_tokens(each.name, strip)
            words.update(told.get(each.name, Text()))
            words.display = bool(told.get(each.name))
        if isinstance(field := self.focused, TextInput):  # what is told of it may be new
            self.call_after_refresh(self._part(str(field.name)).scroll_visible, animate=False)

    def _show_tokens(self, name: str, strip: TokenStrip) -> None:
        found = self._reading
        strip.display = False
        if found is None or found.error is not None or name not in ("prompt", "corrupt"):
            return
        other = found.corrupt
        differing = other.differing if other else ()
        if name == "prompt":
            strip.set_tokens(found.tokens, found.special, marked=differing)
        else:
            strip.set_tokens(other.tokens if other else (), found.special, marked=differing)
        strip.display = not strip.is_empty

    def _told(self, found: Reading | None) -> dict[str, Text]:
        """What is known, in words, by field."""
        workspace = self._workspace
        if self._asked is None:
            return {}
        if workspace.model is None:
            status = one_line(workspace.model_status)
            return {"prompt": Text(f"{status}: tokens and predictions come with it", style="dim")}
        if found is None:
            return {"prompt": Text("reading …", style="dim")}
        if found.error is not None:
            return {"prompt": Text(one_line(found.error), style="red")}
        told = {"prompt": says(found), "answer": Text(), **_of_pair(found)}
        if found.standing is not None:
            whose = _tokens(found.answer) or f"top prediction {visible(found.standing.answer)}"
            told["answer"] = Text(f"{whose}  ", style="dim")
            told["answer"].append_text(stands(found.prompt, found.standing))
            if found.standing.rather is not None:
                told["answer"].append(" · ctrl+r takes that", style="not dim")
        if found.prompt != self._asked:  # the last that is known; the new is on its way
            for name, each in told.items():
                each.stylize("dim")
                if name != "prompt" and getattr(found.prompt, name) != getattr(self._asked, name):
                    told[name] = Text("reading …", style="dim")
        return told

    # Taking it

    def action_take(self) -> None:
        """Work on this case alone."""
        if (case := self._taken()) is not None:
            self.dismiss((PromptSet(name=NAME, prompts=(case,)), 0))

    def action_keep(self) -> None:
        """Put it beside the cases at hand."""
        if (case := self._taken()) is not None:
            at_hand = self._workspace.prompts
            typed = at_hand.name == NAME or at_hand.name.endswith(TYPED)
            name = at_hand.name if typed else at_hand.name + TYPED
            self.dismiss((PromptSet(name=name, prompts=(*at_hand.prompts, case)), len(at_hand)))

    def _taken(self) -> Prompt | None:
        """The case; what is wrong with it is said in place."""
        try:
            case = self._case()
            unequal = self._unequal(case)
            if unequal:
                raise InputError(unequal)
        except InputError as error:
            self._refuse(error)
            return None
        self._typed.clear()
        return case

    def _unequal(self, case: Prompt) -> str:
        """Why the two prompts cannot be compared, where the model has read them already."""
        found = self._reading
        if found is None or found.prompt != case or found.corrupt is None:
            return ""
        return found.corrupt.refused

    def _refuse(self, error: InputError) -> None:
        """Say it under the field that it is about."""
        words = re.findall(r"\w+", str(error).split(";")[0])
        named = [each for each in reversed(FIELDS) if each.name in words]
        name = (named or FIELDS)[0].name
        problem = self.query_one(Problem)
        self.query_one(VerticalScroll).move_child(problem, after=self._part(name))
        problem.say(error)
        next(each for each in self._inputs() if each.name == name).focus()
        self.call_after_refresh(problem.scroll_visible, animate=False)

    def action_break(self) -> None:
        """Begin another line in the field that has the keys."""
        if isinstance(field := self.focused, TextInput):
            field.insert("\n")

    def action_respell(self) -> None:
        """Take the spelling that the model says rather."""
        found = self._reading
        if found is None or found.standing is None or found.standing.rather is None:
            self.notify("The model says it as it is typed.")
            return
        other = found.standing.rather
        texts = {
            "prompt": other.prompt,
            **({"answer": other.answer} if found.prompt.answers else {}),
        }
        meant = found.prompt.model_copy(update=texts)
        for field, each in zip(FIELDS, self._inputs(), strict=True):
            if each.text != (text := field.shown(meant)):
                each.replace(text, (0, 0), each.document.end)  # which ctrl+z takes back


def _tokens(tokens: tuple[str, ...]) -> str:
    return " ".join(visible(each) for each in tokens)


def says(found: Reading) -> Text:
    """What the model would say next."""
    return _predictions(found.predictions)


def _predictions(predictions: tuple[tuple[str, float], ...]) -> Text:
    line = Text("says ", style="dim")
    for token, chance in predictions:
        line.append(f"{visible(token)} ", "not dim").append(f"{probability(chance)}   ")
    return line


def stands(prompt: Prompt, found: Standing) -> Text:
    """How likely the answer is, and which spelling of it is likelier."""
    line = Text()
    line.append(f"P = {found.prob:.3g}, rank {found.rank:,}", "not dim")
    if words := rather(prompt, found):
        line.append(f"\n{words}", style="not dim yellow")
    return line


def _of_pair(found: Reading) -> dict[str, Text]:
    """What is known of the second side of a case, in words, by field."""
    told: dict[str, Text] = {}
    if (other := found.corrupt) is not None:
        count = len(other.differing)
        line = Text(
            f"{len(other.tokens)} tokens, {count} differ{'s' if count == 1 else ''} · ", "dim"
        )
        told["corrupt"] = line.append_text(_predictions(other.predictions))
        if other.refused:
            told["corrupt"] = Text(one_line(other.refused), style="red")
    if (wrong := found.against) is not None and found.difference is not None:
        line = Text(f"{_tokens(found.wrong)}  ", style="dim")
        line.append(f"P = {wrong.prob:.3g}, rank {wrong.rank:,} · ", "not dim")
        line.append(f"difference {number(found.difference, 3, sign=True)}", "not dim bold")
        if other is not None and other.difference is not None:
            line.append(
                f" · in the corrupt prompt {number(other.difference, 3, sign=True)}", "not dim"
            )
        told["wrong"] = line
    return told
