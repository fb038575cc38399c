"""The names of actions: by them settings give an action another key, and words name its key."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial

from textual.binding import Binding, BindingType
from textual.keys import format_key

_SHIPPED: dict[str, tuple[str, ...]] = {}
"""The keys of every action as they ship, by its name."""
_NAME = re.compile(r"<([a-z]+\.[a-z0-9-]+)>")


unlisted = partial(Binding, show=False)
"""A binding that the line of keys at the bottom leaves out; the list behind `?` has it."""


def shipped(bindings: Iterable[BindingType]) -> list[BindingType]:
    """Bindings as they ship, one a key, each noted under the fixed id that it brings.

    An id is a word of its own, as `heads.sweep`: a settings file names it, so it stays when the
    label that people read is worded anew.
    """
    found = [*Binding.make_bindings(bindings)]
    for id in {each.id for each in found}:
        _SHIPPED[str(id)] = tuple(each.key for each in found if each.id == id)
    return [*found]


class Keys:
    """The keys in force: those that ship, and those of the user's own instead.

    Args:
        chosen: keys by the names of actions, several separated by commas.
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        self.choose(chosen or {})

    def choose(self, chosen: Mapping[str, str]) -> None:
        """Put these of the user's own in force, and no others."""
        self._chosen = {
            name: tuple(each.key for each in Binding.make_bindings([Binding(keys, "", "")]))
            for name, keys in chosen.items()
        }

    def of(self, action: str | None) -> tuple[str, ...]:
        """All keys of an action by their long names, as `question_mark`; none if it has no name."""
        return self._chosen.get(action or "", _SHIPPED.get(action or "", ()))

    def key(self, action: str, place: int = 0) -> str:
        """The first key of an action, or another, as words name it: `?`, `enter`, `ctrl+g`."""
        *modifiers, key = self.of(action)[place].split("+")
        return "+".join([*modifiers, key if key == "enter" else format_key(key)])

    def fill(self, words: str) -> str:
        """Words in which `<heads.sweep>` stands for the key of that action, with the key.

        What is no action's name stays as it is.
        """
        return _NAME.sub(lambda name: self.key(name[1]) if self.of(name[1]) else name[0], words)
