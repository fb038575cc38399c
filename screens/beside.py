"""Two runs side by side: which second result a screen shows beside the one in sight."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from rich.text import Text

from analysis.model.info import ModelInfo
from analysis.step import Step
from screens.base import WorkbenchScreen
from screens.chrome import title_line
from screens.dialogs import Finder
from screens.messages import StepRequested
from screens.text import counted, one_line
from screens.workspace import Result, Workspace

SEPARATOR = " · "
"""Between the parts of a step's title."""
NEED_TWO = "Press <heads.second-run> first: it puts a second run beside this one."
ORIGINAL = "original"
"""What the model without the other's changes is called."""


class SecondRun:
    """The second result of a screen: another finished one of the same kind and shape.

    It stays while the first is replaced by a newer one, so that a sweep fills beside the last.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._id: str | None = None
        """That of the result."""
        self._awaited: Step | None = None
        """What is being computed to stand there."""

    def beside(self, first: Result | None) -> Result | None:
        """The result beside this one, where one was chosen that fits it."""
        if first is None:
            return None
        for each in self._workspace.results:
            if each.step == self._awaited and each.state == "done":
                self._id, self._awaited = each.id, None
        if self._id is None:
            return None
        second = self._workspace.find(self._id)
        if second is None or not _comparable(first, second):
            return None
        # What the rows turn out to be is known only now that they are to be read.
        second = second.looked_at()
        return second if _comparable(first, second) and not misfit(first, second) else None

    def offered(self, first: Result | None) -> list[Result]:
        """The results that could stand beside this one, the latest first."""
        if first is None:
            return []
        return [each for each in reversed(self._workspace.results) if _comparable(first, each)]

    def choose(self, first: Result, second: Result) -> str | None:
        """Put a result beside another; what is wrong with it if that cannot be."""
        second = second.looked_at()
        if second.state != "done":
            return f"{one_line(second.step.title)} is {second.state}; only finished runs compare."
        problem = misfit(first, second)
        if problem is None:
            self._id = second.id
        return problem

    def wait_for(self, step: Step) -> None:
        """Put the result of a step there once it is done."""
        self._id, self._awaited = None, step

    def clear(self) -> None:
        """Have the one in sight alone."""
        self._id = self._awaited = None

    @property
    def kept(self) -> str | None:
        """The id to find it by in a record of the session; None if it is in no session."""
        second = None if self._id is None else self._workspace.find(self._id)
        return second.name if second is not None and second.recorded is not None else None

    def put_back(self, first: Result | None, name: Any) -> None:
        """Choose by a name that may come from anybody's file, where there is such a result."""
        same = [each for each in self._workspace.results if each.recorded and each.name == name]
        self._id = same[0].id if same else None
        if self.beside(first) is None:
            self._id = None


def _comparable(first: Result, second: Result) -> bool:
    """Whether a result is another finished one of the same kind."""
    same = second.step.kind == first.step.kind and second.id != first.id
    return same and second.state == "done"


def misfit(first: Result, second: Result) -> str | None:
    """Why two results have no heads or neurons in common; None: they have."""
    a, b = first.model, second.model
    if a is None or b is None or _shape(a) == _shape(b):
        return None
    return (
        f"{one_line(second.step.title)} is of {_words(b)}, this one of {_words(a)}: "
        "nothing of the one is in the other."
    )


def _shape(model: ModelInfo) -> tuple[int, int, int]:
    return model.layers, model.heads, model.neurons


def _words(model: ModelInfo) -> str:
    return f"{one_line(model.name)} ({counted(model.layers, 'layer')} of {model.heads} heads)"


def told_apart(first: Result, second: Result) -> tuple[str, str]:
    """What each of two results has that the other has not, in a few words."""
    a, b = _parts(first), _parts(second)
    own = SEPARATOR.join(part for part in a if part not in b)
    other = SEPARATOR.join(part for part in b if part not in a)
    if own or other:  # only what is changed makes a title longer
        return own or ORIGINAL, other or ORIGINAL
    return f"step {_place(first)}", f"step {_place(second)}"


def _parts(result: Result) -> list[str]:
    """The parts of a title, and what computed the numbers."""
    parts = [one_line(part) for part in result.step.title.split(SEPARATOR)]
    if (model := result.model) is not None:
        parts += [one_line(each) for each in (model.name, model.precision, model.adapter) if each]
    return parts


def _place(result: Result) -> str:
    """The place that the id tells; `003-cna` is the third."""
    digits = re.search(r"[1-9]\d*", result.name)
    return digits[0] if digits else one_line(result.name)


def titles(first: Result, second: Result, facts: tuple[str, str], width: int) -> tuple[Text, Text]:
    """A title line for each of two results; what only one of them is stands out.

    Args:
        first: called A.
        second: called B.
        facts: what to compare each with, at the right.
        width: cells of a line.
    """
    a, b = (
        title_line(Text().append(f"{letter}  ", style="bold") + _title(*two), fact, width)
        for letter, two, fact in zip("AB", [(first, second), (second, first)], facts, strict=True)
    )
    return a, b


def _title(result: Result, other: Result) -> Text:
    """The title, dim where the other's says the same, with what else tells the two apart."""
    own, theirs = _parts(result), _parts(other)
    shown = one_line(result.step.title).split(SEPARATOR)
    shown += [part for part in own if part not in theirs and part not in shown]
    if own == theirs:
        shown.append(told_apart(result, other)[0])
    line = Text()
    for place, part in enumerate(shown):
        line.append(SEPARATOR if place else "", style="dim")
        line.append(part, style="dim" if part in theirs else "bold")
    return line


def turn_second(
    screen: WorkbenchScreen,
    second: SecondRun,
    how: str,
    others: Sequence[tuple[str, Step]] = (),
    fits: Callable[[Result, Result], bool] = lambda first, second: True,
) -> None:
    """Put another run beside the one in sight, asking which if there are several; or take away
    the one that is there.

    Args:
        screen: shows the result.
        second: what it shows beside it.
        how: what to do for a second result where there is none.
        others: steps that can be computed to stand there, each with what it is in words.
        fits: whether a second result can stand beside the first.
    """
    first, workspace = screen.result, screen.workspace
    if first is None:
        screen.notify("There is no run here yet to put another beside.")
        return
    if second.beside(first) is not None:
        second.clear()
        screen.refresh_all()
        return
    offered = [each for each in second.offered(first) if fits(first, each)]
    known = [each.step for each in offered]
    others = [each for each in others if not workspace.replaying and each[1] not in known]

    def put(place: int | None) -> None:
        if place is None:
            return
        if place < len(others):
            second.wait_for(others[place][1])
            screen.request(StepRequested(others[place][1], stay=True))
            return
        problem = second.choose(first, offered[place - len(others)])
        if problem is not None:
            screen.notify(problem, severity="warning", markup=False)
        screen.refresh_all()

    if not offered and not others:
        only = f"There is no other finished {first.step.kind} step here."
        screen.notify(only if workspace.replaying else f"{only} {how}")
    elif len(offered) + len(others) == 1:
        put(0)
    else:
        places = {each.id: place for place, each in enumerate(workspace.results, start=1)}
        lines = [Text(f"     {one_line(words)}", style="bold") for words, _ in others]
        lines += [_line(each, first, places[each.id]) for each in offered]
        screen.app.push_screen(Finder("Which run beside this one?", lines, "puts it beside"), put)


def _line(result: Result, first: Result, place: int) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{place:>3}  ", style="dim").append_text(_title(result, first))
    return line.append(f"   {one_line(result.note)}" if result.note else "", style="italic")
