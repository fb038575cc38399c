"""The replay bar: the steps of a recorded session and where one is among them."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from screens.workspace import Workspace

KEYS = "[ ] step  space play  c live "


class ReplayBar(Static):
    """`◀ 3 of 9 ▶  ● heads  ● cna  ● project …`; not there while the workbench is live."""

    DEFAULT_CSS = """
    ReplayBar { height: 1; display: none; background: $boost; }
    ReplayBar.replaying { display: block; }
    """

    def show(self, workspace: Workspace) -> None:
        """Follow the workspace."""
        self.set_class(workspace.replaying, "replaying")
        if not workspace.replaying:
            return
        place, count = workspace.replay_place, len(workspace.results)
        text = Text(f" ◀ {min(place + 1, count)} of {count} ▶ ", style="bold")
        chips = [
            f" {'●' if result.state == 'done' else '○'} {result.step.kind} "
            for result in workspace.results
        ]
        width = self.app.size.width
        for number in around(place, [len(chip) for chip in chips], width - len(text) - len(KEYS)):
            text.append(chips[number], style="reverse" if number == place else "dim")
        text.append(" " * (width - len(text) - len(KEYS))).append(KEYS, style="dim")
        self.update(text)


def around(place: int, widths: list[int], room: int) -> range:
    """The numbers of the chips that fit, with the one at `place` among them."""
    first = last = place
    used = sum(widths[place : place + 1])
    while True:
        if last + 1 < len(widths) and used + widths[last + 1] <= room:
            last += 1
            used += widths[last]
        elif first > 0 and used + widths[first - 1] <= room:
            first -= 1
            used += widths[first]
        else:
            return range(first, min(last + 1, len(widths)))
