"""Every action with its keys: for the page of keys, and for keys of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from textual.binding import Binding, BindingType, Keymap
from textual.keys import Keys, key_to_character

from analysis.errors import InputError
from screens.base import WorkbenchScreen
from screens.chrome import TABS
from screens.widgets.attention_map import AttentionMap
from screens.widgets.cell_map import HeadMap, PositionMap
from screens.widgets.chain_view import ChainView
from screens.widgets.frame_table import FrameTable
from screens.widgets.prompt_text import PromptText
from screens.widgets.token_strip import TokenStrip
from workbench.player import Player
from workbench.roster import EVERYWHERE as ANYWHERE
from workbench.roster import SCREENS

EVERYWHERE = "Everywhere"
_SHARED: dict[str, Iterable[BindingType]] = {
    EVERYWHERE: (*ANYWHERE, *WorkbenchScreen.BINDINGS),
    "In a replay": Player.BINDINGS,
    "In tables": FrameTable.BINDINGS,
    "On the map of heads": HeadMap.BINDINGS,
    "On the map of layers by positions": PositionMap.BINDINGS,
    "On the chain": ChainView.BINDINGS,
    "In a shaded prompt": PromptText.BINDINGS,
    "On the map of queries by keys": AttentionMap.BINDINGS,
    "In the token strip": TokenStrip.BINDINGS,
}


@dataclass(frozen=True)
class Action:
    """Something that can be done, where, and with which keys."""

    id: str
    place: str
    """Where the keys work: everywhere, in a kind of widget, or on a screen."""
    keys: tuple[str, ...]
    words: str


def actions() -> tuple[Action, ...]:
    """All actions, those that several screens share first, each with its keys as they ship."""
    labels = {name: f"{key} {label}" for key, name, label in TABS}
    called = {each: labels.get(each.NAME) or str(each.TITLE) for each in SCREENS}
    places = _SHARED | {called[each]: each.BINDINGS for each in SCREENS}
    found: dict[tuple[str, str], Action] = {}
    for place, bindings in places.items():
        for each in Binding.make_bindings(bindings):
            assert each.id is not None
            known = found.get((place, each.id))
            keys = (*(known.keys if known else ()), each.key)
            found[place, each.id] = Action(each.id, place, keys, each.description)
    return tuple(found.values())


def keymap(chosen: Mapping[str, str]) -> Keymap:
    """The user's keys, once it is sure that they fit.

    Args:
        chosen: keys by action id, several separated by commas.

    Raises:
        InputError: there is no such action or key, or two actions of one place share one.
    """
    known = {each.id: each for each in actions()}
    for name, keys in chosen.items():
        if name not in known:
            close = ", ".join(get_close_matches(name, known, n=3)) or "see docs/keys.md"
            raise InputError(f"there is no action {name!r}; {close}")
        for key in keys.split(","):
            if not _is_key(key.strip()):
                raise InputError(
                    f"{name} = {keys!r}: {key!r} is no key; "
                    "write a character, or a name as tab, f5 or ctrl+t"
                )
    if (found := conflict(chosen)) is not None:
        key, own, other = found
        raise InputError(
            f"{key} would mean both {own.id} and {other.id}; give one of them another key"
        )
    return dict(chosen)


def conflict(chosen: Mapping[str, str]) -> tuple[str, Action, Action] | None:
    """A key that would do two things in one place: it, what the user gave it, what it does too."""
    after = [(each, _split(chosen.get(each.id, ",".join(each.keys)))) for each in actions()]
    for own, mine in after:
        if own.id not in chosen:
            continue
        for other, theirs in after:
            together = own.place == other.place or EVERYWHERE in (own.place, other.place)
            shared = set(mine) & set(theirs)
            if own is not other and together and shared:
                return min(shared), own, other
    return None


def _split(keys: str) -> tuple[str, ...]:
    """Keys by their long names, so that `?` is `question_mark`."""
    return tuple(each.key for each in Binding.make_bindings([Binding(keys, "", "")]))


def _is_key(key: str) -> bool:
    *modifiers, bare = key.split("+")
    known = bare in {each.value for each in Keys} or key_to_character(bare) is not None
    return known and {*modifiers} <= {"ctrl", "shift", "alt"}
