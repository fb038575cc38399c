"""What the pages of settings and keys show, and what they ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Setting:
    """One thing that a run of the workbench goes by."""

    name: str
    value: str
    origin: str
    """Where the value came from: a flag, a variable, a file, the session, or the default."""
    meaning: str
    choices: tuple[str, ...] = ()
    """All it can be; empty: any text."""
    notes: tuple[str, ...] = ()
    """What else there is to know: what overrides it, what takes effect later."""


@dataclass(frozen=True)
class OwnKey:
    """What can be done, and the keys that do it."""

    id: str
    words: str
    place: str
    keys: str
    shipped: str
    """The keys without any of the user's own."""


class Preferences(Protocol):
    """What the pages of settings ask; what goes wrong is a `WorkbenchError` of one line."""

    @property
    def file(self) -> str:
        """The file that changes are written to."""

    def settings(self) -> Sequence[Setting]:
        """All settings, most used first."""

    def change(self, name: str, text: str) -> str:
        """Write what was typed or chosen; gives words for what came of it."""

    def reset(self, name: str) -> str:
        """Take a setting out of the file."""

    def bound(self) -> Sequence[OwnKey]:
        """All that has keys."""

    def conflict(self, id: str, key: str) -> str | None:
        """What the key does already where the action is; None: it is free."""

    def change_key(self, id: str, key: str) -> str:
        """Give an action another key."""

    def reset_key(self, id: str | None) -> str:
        """Give an action, or every one, the keys that ship."""
