"""Keys as a page: all there are, given anew by pressing them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import polars as pl
from textual import on
from textual.binding import Binding, BindingType
from textual.widget import Widget

from analysis.errors import WorkbenchError
from screens.base import WorkbenchScreen
from screens.chrome import Tabs
from screens.dialogs import Confirm
from screens.overlays import PressKey
from screens.settings import KEYS
from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn


class KeysScreen(WorkbenchScreen):
    """Every action with its keys, those that work everywhere first."""

    NAME = KEYS
    TITLE = "List of keys to change"
    TABLE = "#keys"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "press_key", "Another key", priority=True, id="keys.change"),
        Binding("d", "reset", "As it ships", id="keys.default"),
        Binding("D", "reset_all", "All as they ship", id="keys.all-default"),
        Binding("slash", "filter", "Find", id="keys.filter"),
    ]

    def compose_body(self) -> Iterator[Widget]:
        """The list."""
        yield FrameTable(
            [
                TableColumn("keys", "key", 12),
                TableColumn("words", "does", 24, grow=True, most=40),
                TableColumn("place", "where", 12, grow=True),
                TableColumn("shipped", "ships as", 10),
                TableColumn("id", "name", 24, min_terminal_width=100),
            ],
            id="keys",
            key="id",
            search=("keys", "words", "place", "id"),
        )

    def on_mount(self) -> None:
        """The list takes the keys."""
        self.table.focus()

    def update(self) -> None:
        """Read the keys again."""
        preferences = self.workspace.preferences
        if preferences is None:
            self.set_empty("There are no settings here.")
            return
        try:
            self._all = {each.id: each for each in preferences.bound()}
        except WorkbenchError as error:
            self.set_empty(str(error))
            return
        columns = ("keys", "words", "place", "shipped", "id")
        rows = [
            (each.keys, each.words, each.place, _other(each.keys, each.shipped), each.id)
            for each in self._all.values()
        ]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
        own = sum(each.keys != each.shipped for each in self._all.values())
        self.set_title("Keys", f"{own} of your own · {preferences.file}")
        self.table.set_frame(frame, keep_cursor_on="id")
        self.set_empty(None)

    def action_press_key(self) -> None:
        """Give the action under the cursor a key, once it is where the keys before led it."""
        self.table.call_later(self._press_key)

    @on(FrameTable.RowSelected)
    def _press_key(self) -> None:
        """Give the action under the cursor the next key that is pressed."""
        id, preferences = self.table.current_key, self.workspace.preferences
        if id is None or preferences is None:
            return
        action = self._all[id]

        def pressed(key: str | None) -> None:
            if key is not None:
                self._do(lambda: preferences.change_key(id, key))

        words = f"{action.words} ({action.place})"
        self.app.push_screen(PressKey(words, lambda key: preferences.conflict(id, key)), pressed)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A filter being typed keeps enter."""
        if action == "press_key" and self.filtering:
            return False
        return super().check_action(action, parameters)

    def action_reset(self) -> None:
        """Give the action under the cursor the keys that ship."""
        id, preferences = self.table.current_key, self.workspace.preferences
        if id is not None and preferences is not None:
            self._do(lambda: preferences.reset_key(id))

    def action_reset_all(self) -> None:
        """Give every action the keys that ship, once confirmed."""
        preferences = self.workspace.preferences
        if preferences is None:
            return

        def confirmed(yes: bool | None) -> None:
            if yes:
                self._do(lambda: preferences.reset_key(None))

        question = "Give every action the keys that ship?"
        self.app.push_screen(
            Confirm(question, f"Yours are taken out of {preferences.file}."), confirmed
        )

    def _do(self, change: Callable[[], str]) -> None:
        try:
            self.notify(change(), markup=False)
        except WorkbenchError as error:
            self.notify(str(error), severity="error", markup=False)
        self.update()
        self.query_one(Tabs).on_resize()


def _other(keys: str, shipped: str) -> str:
    """The keys that ship where others are in force."""
    return "" if keys == shipped else shipped
