"""Changes being tried: what is staged now, and the way back and forth."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.changes import Changes


@dataclass
class Staged:
    """A history of staged changes. Nothing here touches a model or a disk."""

    in_use: bool = False
    """Every analysis runs on the variant that the changes make."""
    _states: list[Changes] = field(default_factory=lambda: [Changes()])
    _place: int = 0
    _saved: Changes = field(default_factory=Changes)

    @classmethod
    def of(cls, changes: Changes, in_use: bool) -> Staged:
        """Changes that were staged before, without the way to them."""
        return cls(in_use and bool(changes), [changes])

    @property
    def changes(self) -> Changes:
        """What is staged now."""
        return self._states[self._place]

    @property
    def undoable(self) -> bool:
        """Whether there is a way back."""
        return self._place > 0

    @property
    def redoable(self) -> bool:
        """Whether there is a way forward again."""
        return self._place < len(self._states) - 1

    @property
    def unsaved(self) -> bool:
        """Whether something is staged that was not exported."""
        return bool(self.changes) and self.changes != self._saved

    def put(self, changes: Changes) -> None:
        """Stage these instead; what was undone before cannot be done again."""
        if changes != self.changes:
            self._states = [*self._states[: self._place + 1], changes]
            self._place += 1
        self.in_use = self.in_use and bool(changes)

    def go(self, by: int) -> bool:
        """Undo (−1) or redo (+1); False if there is nothing that way."""
        place = self._place + by
        if not 0 <= place < len(self._states):
            return False
        self._place = place
        self.in_use = self.in_use and bool(self.changes)
        return True

    def saved(self, changes: Changes) -> None:
        """These were exported."""
        self._saved = changes
