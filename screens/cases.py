"""Which case of a set a result is of: said in its title, and another or all asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import InputError
from analysis.step import Step
from analysis.steps.neurons import quoted
from analysis.tasks.prompts import Prompt
from screens.dialogs import Ask
from screens.messages import PromptsChosen, StepRequested
from screens.text import cell_fit, count, one_line
from screens.workspace import Workspace

if TYPE_CHECKING:
    from screens.base import WorkbenchScreen

ALL = "all"
NO_CASE = "This result is of no single case."
_WIDEST = 28
"""Columns of what a case asks, in a title."""


def titled(step: Step, workspace: Workspace) -> str:
    """The title of a step; of one that reads one case of several it says which."""
    prompt, prompts = getattr(step, "prompt", None), workspace.prompts.prompts
    if prompt is None or len(prompts) < 2 or prompt not in prompts:
        return step.title
    words = f"case {count(prompts.index(prompt) + 1)} of {count(len(prompts))}: {_asked(prompt)}"
    if not workspace.replaying:
        words += workspace.keys.fill(" · <result.another-case> another or all")
    return step.title.replace(quoted(prompt.prompt), words)


def _asked(prompt: Prompt) -> str:
    """What a case asks in a few words: its last line, without the examples before it."""
    last = one_line(prompt.prompt.strip().rpartition("\n")[2].rstrip(" ="))
    return cell_fit(last, min(len(last), _WIDEST))


def ask_case(screen: WorkbenchScreen) -> None:
    """Ask for another case, or all, and have the screen's step run on it."""
    result, workspace = screen.result, screen.workspace
    step, prompts = None if result is None else result.step, workspace.prompts
    if step is None or step.for_case(workspace.prompt) is None:
        screen.notify(NO_CASE)
        return
    over, cases = step.over(prompts), len(prompts)

    def check(text: str) -> None:
        word = text.strip()
        if word == ALL and over is not None:
            return
        if word == ALL:
            raise InputError(f"{step.kind} reads one case at a time; give 1 to {count(cases)}")
        if not (word.isdecimal() and 1 <= int(word[:9]) <= cases):
            either = " or all" if over is not None else ""
            raise InputError(f"{word!r}: give a number from 1 to {count(cases)}{either}")

    def chosen(text: str | None) -> None:
        if text is None:
            return
        if text.strip() == ALL and over is not None:
            screen.request(StepRequested(over))
        elif screen.ready():
            case = int(text) - 1
            screen.post_message(PromptsChosen(prompts, case))
            if (other := step.for_case(prompts.prompts[case])) is not None:
                screen.request(StepRequested(other))

    hint = f"1 to {count(cases)}" + (", or all" if over is not None else "")
    here = str(workspace.case + 1)
    question = f"Case of {prompts.title}"
    screen.app.push_screen(Ask(question, here, hint, check=check, select=True), chosen)
