"""The replay bar: the steps of a recorded session and where one is among them."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from screens.workspace import Workspace


class ReplayBar(Static):
    """`◀ 3 of 9 ▶  heads · cna · [project] …`; not there while the workbench is live."""

    DEFAULT_CSS = """
    ReplayBar { height: 1; display: none; background: $boost; }
    ReplayBar.replaying { display: block; }
    """

    def show(self, workspace: Workspace) -> None:
        """Follow the workspace."""
        self.set_class(workspace.replaying, "replaying")
        if not workspace.replaying:
            return
        place = workspace.replay_place
        text = Text(f" ◀ {place + 1} of {len(workspace.results)} ▶ ", style="bold")
        for number, result in enumerate(workspace.results):
            if abs(number - place) > 4:
                continue
            mark = "●" if result.state == "done" else "○"
            style = "reverse" if number == place else "dim"
            text.append(f" {mark} {result.step.kind} ", style=style)
        text.append("   [ ] step  space play  c live", style="dim")
        self.update(text)
