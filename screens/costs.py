"""What a step will cost, from what steps like it took, and whether it is worth it: asked before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from analysis.errors import InputError
from analysis.step import Step
from screens.dialogs import BOX, Problem
from screens.text import count, duration, lines
from screens.widgets.inputs import LineInput
from screens.workspace import Result, Workspace

LONG = 60.0
"""Seconds above which it is asked whether a step is to start."""
MEASURED_BY = {"cna_cases": ("cna_each",), "cna_each": ("cna_each",)}
"""The kinds whose time tells what a kind will take, where it is not its own."""
UNTOLD = ("corpus",)
"""Kinds whose cost goes by what they read, not by cases: what it took once tells nothing."""


@dataclass(frozen=True)
class Cost:
    """What a step will take, and what is known of its cases."""

    seconds: float
    cases: int
    known: int
    """Cases that the intact model was asked in this session."""
    right: int
    """Those of them that it answered right."""

    def of(self, cases: int) -> str:
        """In words, for so many of the cases."""
        time = f"{count(cases)} {'case' if cases == 1 else 'cases'}: about "
        time += duration(self.seconds * cases / self.cases)
        if not self.known:
            return time
        share = f"{round(100 * self.right / self.known)} % of {count(self.known)} cases"
        so_far = "" if self.known == self.cases else " asked so far"
        return f"{time}.\nThe intact model answers {share}{so_far} right."


def cost_of(step: Step, workspace: Workspace) -> Cost | None:
    """What a step will take at the pace of those before it; None: there is nothing to go by."""
    if step.kind in UNTOLD:
        return None
    kinds = MEASURED_BY.get(step.kind, (step.kind,))
    cases = _cases(step)
    paces: dict[Any, float] = {}
    for each in workspace.results:
        if each.step.kind in kinds and each.done and each.seconds and each.model == workspace.model:
            # Of CNA over cases both rounds count, of each the last time.
            round_of = getattr(each.step, "neurons", None) is None
            paces[round_of] = each.seconds / each.done * _rows(step, each) / _cases(each.step)
    if not paces:
        return None
    answered = _answered(workspace)
    right = [answered[each] for each in _prompts(step) if each in answered]
    return Cost(sum(paces.values()) * cases, cases, len(right), sum(right))


def _prompts(step: Step) -> tuple[Any, ...]:
    prompts = getattr(step, "prompts", None)
    return () if prompts is None else tuple(prompts.prompts)


def _cases(step: Step) -> int:
    return len(_prompts(step)) or 1


def _rows(step: Step, before: Result) -> int:
    """Rows that a step will have on as many cases as one before it: it may be of fewer heads."""
    heads, model = getattr(step, "heads", None), before.model
    if step.kind != "heads" or model is None:
        return before.expected
    return model.layers * model.heads if heads is None else len(heads)


def _answered(workspace: Workspace) -> dict[Any, bool]:
    """Whether the intact model answers a case right, where this session knows."""
    found: dict[Any, bool] = {}
    for each in workspace.results:
        correct = each.baseline.get("prompt_correct", ())
        if not each.step.changes and len(correct) == len(_prompts(each.step)):
            found |= dict(zip(_prompts(each.step), correct, strict=True))
    return found


class Weigh(ModalScreen[int | None]):
    """Whether a long step is to start, and on how many cases; escape gives None.

    Args:
        what: the step.
        cost: what it will take.
        fewer: whether the number of cases can be changed.
    """

    AUTO_FOCUS = ""
    DEFAULT_CSS = BOX.format(name="Weigh") + "Weigh Input { display: none; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "start", "Start"),
        Binding("c", "cases", "Other number of cases"),
        Binding("n,escape,q", "dismiss(None)", "Cancel"),
    ]

    def __init__(self, what: str, cost: Cost, fewer: bool) -> None:
        super().__init__()
        self._what, self._cost, self._fewer = what, cost, fewer

    def compose(self) -> ComposeResult:
        """The step, its cost, a field for another number of cases, the keys."""
        with Vertical():
            yield Static(lines(f"{self._what}. Start?"), classes="question", markup=False)
            yield Static(self._cost.of(self._cost.cases), id="cost", markup=False)
            yield LineInput(str(self._cost.cases), select_on_focus=True)
            yield Problem()
            other = " · c other number of cases" if self._fewer else ""
            yield Static(f"y or enter starts{other} · esc cancels", classes="hint")

    @property
    def _number(self) -> int:
        """The number of cases typed; more than there are: all.

        Raises:
            InputError: it is none.
        """
        text = self.query_one(LineInput).value.strip().replace(",", "")
        if not text.isdecimal() or int(text[:12]) < 1:
            raise InputError(f"{text!r}: give a number from 1 to {count(self._cost.cases)}")
        return min(int(text[:12]), self._cost.cases)

    @on(Input.Changed)
    def _told(self) -> None:
        """Say what so many cases will take."""
        try:
            words = self._cost.of(self._number)
        except InputError:
            return
        self.query_one("#cost", Static).update(words)

    @on(Input.Submitted)
    def action_start(self) -> None:
        """Answer with the number of cases."""
        try:
            self.dismiss(self._number)
        except InputError as error:
            self.query_one(Problem).say(error)

    def action_cases(self) -> None:
        """Have another number of cases typed."""
        if self._fewer:
            field = self.query_one(LineInput)
            field.display = True
            field.focus()


def weighed(
    step: Step,
    workspace: Workspace,
    seed: int,
    ask: Callable[[Weigh, Callable[..., None]], Any],
    start: Callable[[Step], None],
) -> None:
    """Start a step, at once or after it was asked whether it is worth its time.

    Args:
        step: what is to start.
        workspace: whose results say what it will take.
        seed: by which fewer cases are drawn.
        ask: shows a dialog and hands its answer on.
        start: starts a step.
    """
    cost = cost_of(step, workspace)
    if cost is None or cost.seconds <= LONG:
        start(step)
        return

    def answered(cases: int | None) -> None:
        from analysis.tasks.standard import drawn

        if cases is None:
            return
        fewer = cases < cost.cases
        prompts = {"prompts": drawn(step.prompts, cases, seed)} if fewer else {}  # type: ignore[attr-defined]
        start(step.model_copy(update=prompts))

    ask(Weigh(step.title, cost, len(_prompts(step)) > 1), answered)
