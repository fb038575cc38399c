"""The lines around what a screen shows: the screens there are, the title, the guide, the status."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import psutil
from rich.text import Text
from textual.widgets import Static

from screens.keys import Keys
from screens.text import cell_fit, one_line
from screens.widgets.lines import Severity, StatusItem
from screens.workspace import Workspace

TABS = (
    ("1", "prompts", "Prompts"),
    ("2", "heads", "Heads"),
    ("3", "neurons", "Neurons"),
    ("4", "tokens", "Tokens"),
    ("5", "chain", "Chain"),
    ("6", "change", "Change"),
    ("7", "sessions", "Sessions"),
    ("8", "paper", "Paper"),
    ("9", "patch", "Patch"),
)
"""Key as it ships, name and label of every screen."""


FLAT = 18
"""Lines of a terminal from which there is room for the names of the screens and more."""


class Tabs(Static):
    """The screens there are and which one this is; the others by their keys where it is narrow."""

    WAYS = ((" ", " "), ("", "  "), ("", " "))
    """Blanks inside and between the words, the roomiest first."""

    def __init__(self, here: str, keys: Keys) -> None:
        super().__init__(classes="tabs", markup=False)
        self._here = here
        self._keys = keys

    def on_resize(self) -> None:
        """Use the space there is."""
        ways = (self._line(*way, whole=True) for way in self.WAYS)
        fitting = (line for line in ways if line.cell_len <= self.size.width)
        self.update(next(fitting, self._line("", "  ", whole=False)))

    def _line(self, inside: str, between: str, whole: bool) -> Text:
        """Keys and names; of the other screens, unless `whole`, the keys alone."""
        words = []
        for _, name, label in TABS:
            key, here = self._keys.key(f"app.{name}"), name == self._here
            text = f"{inside}{key} {label}{inside}" if whole or here else key
            words.append(Text(text, style="bold reverse" if here else ""))
        return Text(between).join(words)


def title_line(text: Text, right: str, width: int) -> Text:
    """`text` with a fact at the right end of the line; where both do not fit, `text` is cut."""
    line = Text(" ").append_text(text)
    if not right:
        return line
    fact = Text(one_line(right), style="dim")
    space = width - line.cell_len - fact.cell_len - 1
    if space < 1:
        line.truncate(max(1, width - fact.cell_len - 3), overflow="ellipsis")
        space = 2
    return line.append(" " * space).append_text(fact)


def status_items(workspace: Workspace) -> list[StatusItem]:
    """Model, parity, memory, session: most important first."""
    model = workspace.model
    items: list[StatusItem] = []
    level: Severity
    if model is None:
        level = "error" if workspace.model_failed else "warn"
        items.append(StatusItem(workspace.model_status, level))
    else:
        worn = f" wearing {model.adapter}" if model.adapter else ""
        items.append(StatusItem(f"{model.name}{worn} {model.precision} {model.device}"))
        worst = f"parity {model.parity.worst:.0e}".replace("e-0", "e-").replace("-", "−")
        items.append(StatusItem(worst, "ok" if model.parity_holds else "error", importance=3))
    if workspace.following:
        level = "ok" if workspace.following.startswith("following") else "warn"
        items.append(StatusItem(workspace.following, level, importance=5))
    if workspace.session is not None:
        mark = "replay" if workspace.replaying else "session"
        items.append(StatusItem(f"{mark} {workspace.session.name}", importance=2))
    # What waits for the live session has no part in a replay.
    if not workspace.replaying and (staged := workspace.staged.changes):
        use = ", in use" if workspace.staged.in_use else ""
        words = f"{len(staged)} change{'s' if len(staged) > 1 else ''} staged{use}"
        level = "warn" if workspace.staged.unsaved else "ok"
        items.append(StatusItem(words, level, importance=4))
    if not workspace.replaying:
        running = workspace.running
        more = f" +{running.memory / 1e9:.1f}" if running is not None and running.memory else ""
        items.append(StatusItem(memory_words() + more, importance=1))
    return items


def memory_words() -> str:
    """What this program takes of the machine's memory."""
    memory = psutil.virtual_memory()
    own = psutil.Process().memory_info().rss
    return f"{own / 1e9:.1f} of {memory.total / 1e9:.0f} GB"


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
        "<heads.its-neurons> at the end: the neurons of the strongest head",
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
            seen = "" if self.app.size.height < FLAT else f"{now.seen}\n"
            text.append(seen).append(fill(now.press), style="bold")
        else:
            text.append(fill(f"The guide goes on elsewhere: press <app.{now.screen}>."))
        text.append(fill(END), style="dim")
        self.update(text)


ENTER = "enter"
GOES_ON, LEAVES = f"   {ENTER} goes on", " · any other key leaves it"


class OfferLine(Static):
    """What was begun and stopped, and the key that goes on; not there when nothing is offered."""

    DEFAULT_CSS = """
    OfferLine { display: none; height: 1; padding: 0 1; }
    OfferLine.offering { display: block; border-left: outer $accent; background: $boost; }
    """

    def show(self, workspace: Workspace) -> None:
        """Follow the workspace."""
        self.set_class(bool(workspace.offer), "offering")
        room = self.app.size.width - len(GOES_ON) - 3
        text = Text(cell_fit(workspace.offer, room).rstrip(), style="bold")
        more = LEAVES if text.cell_len + len(LEAVES) <= room else ""
        self.update(text.append(GOES_ON + more, style="not bold dim"))
