"""Settings from inside the program: shown with where they came from, kept in the user's file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from textual.app import App
from textual.keys import format_key

from analysis.errors import InputError
from screens.preferences import OwnKey, Setting
from screens.settings import KEYS
from screens.themes import DARK, THEMES
from workbench.health import home_short
from workbench.keymap import actions, conflict, keymap
from workbench.models.resolve import check_there
from workbench.paths import config_file
from workbench.settings import Settings, keep, load_settings, origin, read_file

NONE = "none"
YES, NO = "yes", "no"
YOURS = "your file"
FIRST = ("theme", KEYS, "model", "dtype", "device")
"""What is looked for most; the others follow in their own order."""
AT_ONCE = ("theme", "cache", KEYS)
"""What takes effect as soon as it is changed."""


class OwnPreferences:
    """The settings in force, and the file of the user's own.

    Args:
        app: what they are of.
        settings: those that it was started with; None: those of files and variables.
    """

    def __init__(self, app: App[Any], settings: Settings | None) -> None:
        self._app = app
        self._started = settings or load_settings()

    @property
    def file(self) -> str:
        """The file that changes are written to."""
        return home_short(config_file())

    @property
    def theme(self) -> str:
        """The theme to begin with."""
        return self._started.theme or DARK.name

    @property
    def themes(self) -> list[str]:
        """The themes that are offered."""
        return [*THEMES]

    @property
    def _now(self) -> Settings:
        """What a start like this one would go by now."""
        given = {name: getattr(self._started, name) for name in self._started.origins}
        return load_settings(**given)

    def settings(self) -> Sequence[Setting]:
        """All settings, most used first."""
        now = self._now
        names = [*FIRST, *(each for each in Settings.model_fields if each not in FIRST)]
        return [self._setting(name, getattr(now, name)) for name in names]

    def _setting(self, name: str, value: Any) -> Setting:
        shown, where = self._shown(name, value), self._origin(name)
        own = read_file(config_file()).get(name)
        notes = []
        if own is not None and name != KEYS and where != YOURS:
            notes.append(f"Your file says {self._shown(name, own)}, but {where} overrides it.")
        running = self._shown(name, getattr(self._started, name))
        if name not in AT_ONCE:
            now = "" if running == shown else f" Now it is {running}."
            notes.append(f"A change takes effect at the next start.{now}")
        meaning = Settings.model_fields[name].description or ""
        return Setting(
            name,
            shown,
            where,
            " ".join(meaning.replace("`", "").split()),
            self._choices(name),
            (*notes,),
        )

    def _shown(self, name: str, value: Any) -> str:
        if name == KEYS:
            return f"{len(value)} of your own" if value else "as they ship"
        if name == "theme" and value is None:
            return DARK.name
        if isinstance(value, bool):
            return YES if value else NO
        return NONE if value is None else str(value)

    def _choices(self, name: str) -> tuple[str, ...]:
        if name == "theme":
            return tuple(self.themes)
        annotation = Settings.model_fields[name].annotation
        if annotation is bool:
            return NO, YES
        parts = get_args(annotation)
        literal = annotation if get_origin(annotation) is Literal else None
        literal = literal or next((each for each in parts if get_origin(each) is Literal), None)
        if literal is None:
            return ()
        return (*([NONE] if type(None) in parts else []), *map(str, get_args(literal)))

    def _origin(self, name: str) -> str:
        """Where the value of a setting came from, shortly."""
        if (given := self._started.origins.get(name)) is not None:
            return given
        found = origin(name)
        file, _, key = found.rpartition(": ")
        if not key or not file:
            return found if found != name else "default"
        return YOURS if Path(file) == config_file() else Path(file).name

    def change(self, name: str, text: str) -> str:
        """Write what was typed or chosen.

        Returns:
            Words for what came of it.

        Raises:
            WorkbenchError: it will not do, or the file cannot be written.
        """
        value = self._value(name, text)
        keep(name, value)
        return self._kept(name, text)

    def reset(self, name: str) -> str:
        """Take a setting out of the file."""
        if name == KEYS:
            return self.reset_key(None)
        keep(name, None)
        return self._kept(name, self._shown(name, getattr(self._now, name)))

    def _kept(self, name: str, text: str) -> str:
        """Have a change take effect; gives words for it."""
        now, where = self._now, self._origin(name)
        if name == "theme":
            self._app.theme = text
        words = f"{name} is {text}, kept in {self.file}."
        if where not in (YOURS, "default"):
            return f"{words} At the next start {where} overrides it."
        if name not in AT_ONCE and getattr(now, name) != getattr(self._started, name):
            return f"{name} is {text} from the next start on."
        return words

    def _value(self, name: str, text: str) -> Any:
        """What is written for a text; None: nothing."""
        field = Settings.model_fields[name]
        value: Any = text
        if field.annotation is bool:
            value = {YES: True, NO: False}.get(text, text)
        elif text == NONE and type(None) in get_args(field.annotation):
            return None
        elif text.startswith(("./", "../", "~")):
            value = os.path.abspath(os.path.expanduser(text))
        elif text.isdecimal() and name != "colours":
            value = int(text)
        try:
            made = TypeAdapter(field.rebuild_annotation()).validate_python(value)
        except ValidationError as error:
            raise InputError(f"{error.errors()[0]['msg']}, not {text!r}") from None
        if name == "model":
            check_there(made)
        if isinstance(made, Path) and not made.is_dir():
            raise InputError(f"there is no folder {text}")
        return str(made) if isinstance(made, Path) else made

    # Keys

    def bound(self) -> Sequence[OwnKey]:
        """All that has keys."""
        chosen = self._now.keys
        return [
            OwnKey(
                each.id,
                each.words,
                each.place,
                _named(chosen.get(each.id, ",".join(each.keys))),
                _named(",".join(each.keys)),
            )
            for each in actions()
        ]

    def conflict(self, id: str, key: str) -> str | None:
        """What the key does already where the action is; None: it is free."""
        found = conflict({**self._now.keys, id: key})
        if found is None:
            return None
        shared, one, other = found
        other = other if one.id == id else one
        where = f"{format_key(shared)} is “{other.words}” already ({other.place})"
        return f"{where}: press another, or give that one another key first."

    def change_key(self, id: str, key: str) -> str:
        """Give an action another key."""
        keep(id, key, KEYS)
        self._take_keys()
        return f"{format_key(key)} does it now; kept in {self.file}"

    def reset_key(self, id: str | None) -> str:
        """Give an action, or every one, the keys that ship."""
        if id is None:
            keep(KEYS, None)
        else:
            keep(id, None, KEYS)
        self._take_keys()
        return "All keys are as they ship." if id is None else "It has the keys that ship."

    def _take_keys(self) -> None:
        self._app.set_keymap(keymap(self._now.keys))


def _named(keys: str) -> str:
    return " ".join(format_key(each.strip()) for each in keys.split(","))
