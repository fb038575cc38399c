"""Settings as a page: what each is, where it came from, what it means; changed in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar

import polars as pl
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Input, Label, Static

from analysis.errors import InputError, WorkbenchError
from screens.base import WorkbenchScreen
from screens.dialogs import Problem
from screens.keys import unlisted
from screens.messages import ScreenRequested
from screens.preferences import Setting
from screens.text import one_line
from screens.widgets.frame_table import FrameTable
from screens.widgets.inputs import LineInput
from screens.widgets.table_rows import TableColumn

KEYS = "keys"
"""The setting that is changed on a screen of its own, and the name of that screen."""


class ValueLine(Vertical):
    """A line to type a value into, with what is wrong with it below; hidden until `open`."""

    DEFAULT_CSS = """
    ValueLine { height: auto; display: none; padding: 0 1; }
    ValueLine Horizontal { height: 1; }
    ValueLine Label { width: auto; color: $accent; text-style: bold; }
    ValueLine Input, ValueLine Input:focus {
        width: 1fr; border: none; height: 1; padding: 0; background: $boost;
    }
    ValueLine Problem { color: $text-error; display: none; text-wrap: wrap; height: auto; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Cancel", show=False),
    ]

    def compose(self) -> ComposeResult:
        """The setting's name, the field, what is wrong."""
        with Horizontal():
            yield Label("", markup=False)
            yield LineInput(select_on_focus=False)
        yield Problem()

    @property
    def is_open(self) -> bool:
        """Whether it is shown."""
        return bool(self.display)

    def open(self, name: str, value: str) -> None:
        """Let the user type."""
        field = self.query_one(Input)
        self.query_one(Label).update(f"{name} ")
        self.query_one(Problem).display = False
        field.value = value
        self.display = True
        field.focus()
        field.cursor_position = len(value)
        self.screen.refresh_bindings()

    def action_close(self) -> None:
        """Hide it; the table has the keys again."""
        self.display = False
        self.screen.query_one(FrameTable).focus()
        self.screen.refresh_bindings()


class SettingsScreen(WorkbenchScreen):
    """All settings in a table; what is under the cursor is told below it."""

    NAME = "settings"
    TITLE = "Settings"
    TABLE = "#settings"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "change", "Change", priority=True, id="settings.change"),
        Binding("d", "default", "Default", id="settings.default"),
        Binding("K", "keys", "Keys", id="settings.keys"),
        unlisted("slash", "filter", "Filter", id="settings.filter"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """Settings, the line to type into, what the one under the cursor means."""
        yield FrameTable(
            [
                TableColumn("name", "setting", 16, format=_words),
                TableColumn("value", "value", 20, format=_words, grow=True, most=40),
                TableColumn("origin", "from", 14, format=_words, grow=True),
            ],
            id="settings",
            search=("name", "value", "origin", "meaning"),
        )
        yield ValueLine()
        yield Static(id="meaning", markup=False)

    def on_mount(self) -> None:
        """The list takes the keys."""
        self.table.focus()

    _all: Mapping[str, Setting] = MappingProxyType({})
    _done = "", ""
    """Name of the setting that was changed last, and what came of it."""

    def update(self) -> None:
        """Read the settings again."""
        preferences = self.workspace.preferences
        if preferences is None:
            self.set_empty("There are no settings here.")
            return
        try:
            self._all = {each.name: each for each in preferences.settings()}
        except WorkbenchError as error:
            self.set_empty(str(error))
            return
        columns = ("name", "value", "origin", "meaning")
        rows = [[getattr(each, name) for name in columns] for each in self._all.values()]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
        self.set_title("Settings", f"kept in {preferences.file}")
        self.table.set_frame(frame, keep_cursor_on="name")
        self.set_empty(None)
        self._tell()

    @on(FrameTable.RowHighlighted)
    def _tell(self) -> None:
        """Say what the setting under the cursor means, and what was done to it just now."""
        setting = self._current
        text = Text()
        if setting is not None:
            text.append(one_line(setting.meaning))
            if setting.choices:
                text.append("\nOne of ")
                for place, each in enumerate(setting.choices):
                    text.append(" · " if place else "")
                    text.append(one_line(each), "bold" if each == setting.value else "")
            for each in setting.notes:
                text.append(f"\n{one_line(each)}", "yellow")
            if self._done[0] == setting.name:
                text.append(f"\n{one_line(self._done[1])}", "bold")
            else:
                self._done = "", ""
        self.query_one("#meaning", Static).update(text)

    @property
    def _current(self) -> Setting | None:
        key = self.table.current_key
        return None if key is None else self._all.get(key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What is being typed keeps enter and the letters."""
        if action == "change" and (self._typing or self.filtering):
            return False
        return super().check_action(action, parameters)

    @property
    def _typing(self) -> bool:
        return any(each.is_open for each in self.query(ValueLine))

    def action_change(self) -> None:
        """Change the setting under the cursor, once it is where the keys before led it."""
        self.table.call_later(self._change_current)

    @on(FrameTable.RowSelected)
    def _change_current(self) -> None:
        """Take the next choice, or let the user type."""
        setting = self._current
        if setting is None:
            return
        if setting.name == KEYS:
            self.action_keys()
        elif setting.choices:
            here = setting.choices.index(setting.value) if setting.value in setting.choices else -1
            self._change(setting.name, setting.choices[(here + 1) % len(setting.choices)])
        else:
            self.query_one(ValueLine).open(setting.name, setting.value)

    @on(Input.Submitted, "ValueLine Input")
    def _typed(self, event: Input.Submitted) -> None:
        event.stop()
        setting, line = self._current, self.query_one(ValueLine)
        if setting is not None and self._change(setting.name, event.value.strip()):
            line.action_close()

    def _change(self, name: str, text: str) -> bool:
        """Have a value written; where it cannot be, say why and give False."""
        preferences = self.workspace.preferences
        assert preferences is not None
        try:
            words = preferences.change(name, text)
        except WorkbenchError as error:
            if self._typing:
                self.query_one(ValueLine).query_one(Problem).say(InputError(str(error)))
            else:
                self.notify(str(error), severity="error", markup=False)
            return False
        self._done = name, words
        self.update()
        return True

    def action_default(self) -> None:
        """Take the setting under the cursor out of the file."""
        setting, preferences = self._current, self.workspace.preferences
        if setting is None or preferences is None:
            return
        try:
            words = preferences.reset(setting.name)
        except WorkbenchError as error:
            self.notify(str(error), severity="error", markup=False)
            words = ""
        self._done = setting.name, words
        self.update()

    def action_keys(self) -> None:
        """List all keys, to change them."""
        self.post_message(ScreenRequested(KEYS))


def _words(value: object) -> str:
    return one_line(str(value))
