"""The guided first run: two lines that lead from a prompt to what a neuron says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text
from textual.widgets import Static

from screens.workspace import Workspace


@dataclass(frozen=True)
class Lesson:
    """What is seen now and what to press next."""

    screen: str
    """Where it is seen; elsewhere the guide says how to get there."""
    seen: str
    press: str
    learnt: Callable[[Workspace], bool]


def _measured(kind: str) -> Callable[[Workspace], bool]:
    return lambda workspace: any(each.step.kind == kind for each in workspace.results)


LESSONS = (
    Lesson(
        "prompts",
        "Sums behind two examples; below, how the model reads one and goes on.",
        "<prompts.sweep-heads> zeroes every attention head in turn: who is missed?",
        _measured("heads"),
    ),
    Lesson(
        "heads",
        "A cell a head: colour is what its loss does, dim is an estimate.",
        "<heads.top-head> finds the head that matters most; <heads.its-neurons>: its neurons",
        _measured("cna"),
    ),
    Lesson(
        "neurons",
        "Neurons whose part in the answer changes most without that head.",
        "<neurons.read> on one of them: what does it say?",
        _measured("project"),
    ),
    Lesson(
        "tokens",
        "What the neuron promotes and suppresses: that was the whole way.",
        "<tokens.through> through attention · <neurons.stage-a-change> on <app.neurons> changes it"
        " · <app.sessions> keeps all",
        lambda workspace: False,
    ),
)


END = " · <app.guide> ends"


def lesson(workspace: Workspace) -> int:
    """The place of the lesson that comes next."""
    return next(place for place, each in enumerate(LESSONS) if not each.learnt(workspace))


class GuideLines(Static):
    """Where the guided first run is; not there when it is off."""

    DEFAULT_CSS = """
    GuideLines { display: none; height: auto; max-height: 3; padding: 0 1; }
    GuideLines.guiding { display: block; border-left: outer $accent; background: $boost; }
    """

    def show(self, workspace: Workspace, screen: str) -> None:
        """Follow the workspace, on the screen of that name."""
        self.set_class(workspace.guided, "guiding")
        if not workspace.guided:
            return
        place = lesson(workspace)
        now = LESSONS[place]
        fill = workspace.keys.fill
        text = Text()
        text.append(f"{place + 1}/{len(LESSONS)} ", style="bold")
        if screen == now.screen:
            text.append(f"{now.seen}\n").append(fill(now.press), style="bold")
        else:
            text.append(fill(f"The guide goes on elsewhere: press <app.{now.screen}>."))
        text.append(fill(END), style="dim")
        self.update(text)
