"""The line of screens on top."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from screens.keys import Keys

TABS = (
    ("1", "prompts", "Prompts"),
    ("2", "heads", "Heads"),
    ("3", "neurons", "Neurons"),
    ("4", "tokens", "Tokens"),
    ("5", "chain", "Chain"),
    ("6", "change", "Change"),
    ("7", "sessions", "Sessions"),
    ("8", "paper", "Paper"),
)
"""Key as it ships, name and label of every screen."""


class Tabs(Static):
    """The screens there are and which one this is; the others by their keys where it is narrow."""

    ROOMY, WHOLE = 96, 80

    def __init__(self, here: str, keys: Keys) -> None:
        super().__init__(classes="tabs", markup=False)
        self._here = here
        self._keys = keys

    def on_resize(self) -> None:
        """Use the space there is."""
        width = self.size.width
        space = " " if width >= self.ROOMY else ""
        text = Text("" if space else " ")
        for _, name, label in TABS:
            key = self._keys.key(f"app.{name}")
            here = name == self._here
            words = f"{key} {label}" if width >= self.WHOLE or here else key
            text.append(f"{space}{words}{space}", style="bold reverse" if here else "")
            text.append("  " if not space else " ")
        text.rstrip()
        self.update(text)
