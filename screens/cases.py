"""Which case of a set a result is of: said in its title, and another or all asked for."""

from __future__ import annotations

from analysis.errors import InputError
from analysis.step import Step
from analysis.steps.neurons import quoted
from analysis.tasks.prompts import Prompt, PromptSet
from screens.dialogs import Ask
from screens.text import cell_fit, count, one_line
from screens.workspace import Workspace

ALL = "all"
NO_CASE = "This result is of no single case."
_WIDEST = 28
"""Columns of what a case asks, in a title."""


def titled(step: Step, workspace: Workspace) -> str:
    """The title of a step; of one that reads one case of several it says which."""
    prompt = getattr(step, "prompt", None)
    if prompt is None:
        return step.title
    return step.title.replace(quoted(prompt.prompt), case_words(prompt, workspace))


def case_words(prompt: Prompt, workspace: Workspace) -> str:
    """Which case of several a prompt is, and how to see another; else what it says."""
    prompts = workspace.prompts.prompts
    if len(prompts) < 2 or prompt not in prompts:
        return quoted(prompt.prompt)
    words = f"case {count(prompts.index(prompt) + 1)} of {count(len(prompts))}: {_asked(prompt)}"
    if not workspace.replaying:
        words += workspace.keys.fill(" · <result.another-case> another or all")
    return words


def _asked(prompt: Prompt) -> str:
    """What a case asks in a few words: its last line, without the examples before it."""
    last = one_line(prompt.prompt.strip().rpartition("\n")[2].rstrip(" ="))
    return cell_fit(last, min(len(last), _WIDEST))


def case_question(step: Step, workspace: Workspace) -> Ask:
    """Asks for another case of a step that reads one, or for all where something does all."""
    prompts = workspace.prompts
    over, cases = step.over(prompts) is not None, len(prompts)

    def check(text: str) -> None:
        word = text.strip()
        if word == ALL and not over:
            raise InputError(f"{step.kind} reads one case at a time; give 1 to {count(cases)}")
        if word != ALL and not (word.isdecimal() and 1 <= int(word[:9]) <= cases):
            either = " or all" if over else ""
            raise InputError(f"{word!r}: give a number from 1 to {count(cases)}{either}")

    hint = f"1 to {count(cases)}" + (", or all" if over else "")
    here = str(workspace.case + 1)
    return Ask(f"Case of {prompts.title}", here, hint, check=check, select=True)


def on_case(step: Step, prompts: PromptSet, text: str) -> tuple[int | None, Step | None]:
    """What `case_question` was answered: the case by its place, None for all; and the step."""
    if text.strip() == ALL:
        return None, step.over(prompts)
    case = int(text) - 1
    return case, step.for_case(prompts.prompts[case])
