"""The replay bar: the steps of a recorded session and where one is among them."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from screens.text import cell_fit, one_line
from screens.timeline import mark
from screens.workspace import Workspace

PLAYING = "▶ playing"
NOTE_WIDTH = 40
"""Cells of the note on the step, where there is room for it."""


class ReplayBar(Static):
    """`3 of 9  ● heads  ● cna  ● project …`; not there while the workbench is live."""

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
        text = Text(no_wrap=True, overflow="ellipsis")
        if not count:
            text.append(" no steps yet", style="dim")
        else:
            text.append(f" {place + 1} of {count}  ", style="bold")
            behind = self._behind(workspace)
            chips = [f" {mark(each.state)} {each.step.kind} " for each in workspace.results]
            room = self.app.size.width - len(text) - behind.cell_len
            for number in around(place, [len(chip) for chip in chips], room):
                text.append(chips[number], style="reverse" if number == place else "dim")
            text.append(" " * (self.app.size.width - text.cell_len - behind.cell_len))
            text.append(behind)
        self.update(text)

    def _behind(self, workspace: Workspace) -> Text:
        """What stands at the right end: that it plays, or the note on the step."""
        if workspace.playing:
            return Text(f"  {PLAYING} ", style="bold")
        result = workspace.replayed
        if result is None or not result.note:
            return Text()
        note = one_line(result.note)
        shown = cell_fit(note, min(Text(note).cell_len, NOTE_WIDTH, self.app.size.width // 3))
        return Text(f"  {shown} ", style="italic")


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
