"""The field behind `t`: a task by a few letters of its name, or a file of cases by its path."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from analysis.errors import InputError
from analysis.tasks.prompts import PromptSet
from analysis.tasks.standard import TASKS
from analysis.tasks.task_files import PARQUET, SEPARATORS, parse_columns, read_task_file
from screens.dialogs import BOX, ESCAPE, Problem
from screens.text import lines
from screens.widgets.inputs import LineInput

ENDINGS = (".json", ".jsonl", *SEPARATORS, *PARQUET, ".gz")
"""Of files that are offered; others are read where their path is typed."""
OFFERED = 200
"""Files of a folder."""


class TaskField(ModalScreen[PromptSet | str | None]):
    """Letters narrow the list; enter takes what is marked, or the path or the tasks as typed.

    Gives the cases, or the line itself where something else stands for it; escape gives None.

    Args:
        names: lines of the list.
        make: the cases of a task, or the line itself. Raises InputError.
        typed: holds what was typed and not taken, so that it stands there again.
    """

    DEFAULT_CSS = (
        BOX.format(name="TaskField")
        + """
    TaskField Horizontal { height: 1; margin-top: 1; }
    TaskField .name { width: 9; color: $text-muted; }
    TaskField Horizontal > Input, TaskField Horizontal > Input:focus {
        width: 1fr; margin-top: 0;
    }
    TaskField OptionList, TaskField OptionList:focus { scrollbar-size-vertical: 1; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        ESCAPE,
        Binding("enter", "accept", "Take it", priority=True),
        Binding("tab", "complete", "Complete", priority=True),
        Binding("down", "move('cursor_down')", show=False, priority=True),
        Binding("up", "move('cursor_up')", show=False, priority=True),
    ]

    def __init__(
        self,
        names: Sequence[str],
        make: Callable[[str], PromptSet | str],
        typed: dict[str, str],
    ) -> None:
        super().__init__()
        self._names, self._make, self._typed = names, make, typed
        self._lines: list[str] = []
        """Those in sight."""

    def compose(self) -> ComposeResult:
        """What is typed, what there is, and what a file calls its columns."""
        with Vertical():
            yield Static("Task, or the path of a file of cases", classes="question")
            yield LineInput(self._typed.get("task", ""), name="task")
            yield Problem()
            yield OptionList(markup=False)
            with Horizontal():
                yield Static("columns", classes="name")
                yield LineInput(
                    self._typed.get("columns", ""),
                    placeholder="of a file with other names: prompt=NAME,answer=NAME",
                    name="columns",
                )
            yield Static(
                "enter takes what is marked, or the path as typed · tab completes, then columns · "
                "↑ ↓ move · esc closes",
                classes="hint",
            )

    def on_mount(self) -> None:
        """All there is."""
        self._show()

    @property
    def _line(self) -> Input:
        return self.query(Input).first()

    @property
    def _columns(self) -> Input:
        return self.query(Input).last()

    @on(Input.Changed)
    def _narrow(self, event: Input.Changed) -> None:
        if event.input is self._columns or _is_path(event.value):  # a few letters are no draft
            self._typed[str(event.input.name)] = event.value
        self.query_one(Problem).say(None)
        self._show()

    def _show(self) -> None:
        text = self._line.value
        words = text.lower().split()
        named = [each for each in self._names if all(word in each.lower() for word in words)]
        named.sort(key=lambda name: (name != text, bool(text) and not name.startswith(text)))
        self._lines = ([] if _is_path(text) else named) + (_paths(text) if text else [])
        found = self.query_one(OptionList)
        found.clear_options()
        found.add_options([Option(lines(each)) for each in self._lines])
        found.highlighted = 0 if self._lines else None

    def action_move(self, how: str) -> None:
        """Walk the list while one types."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def action_complete(self) -> None:
        """Type what all lines that begin so have in common; then go to the columns, and back."""
        field, text = self._line, self._line.value
        begin = [each for each in self._lines if text and each.startswith(text)]
        common = _common(begin)
        if not field.has_focus or len(common) <= len(text):
            (self._columns if field.has_focus else field).focus()
            return
        self._type(common)

    def _type(self, text: str) -> None:
        self._line.value = text
        self._line.cursor_position = len(text)

    @on(OptionList.OptionSelected)
    def action_accept(self) -> None:
        """Take it, or say why it cannot be taken; of a folder show what is in it."""
        place = self.query_one(OptionList).highlighted
        text = self._line.value.strip()
        chosen = text
        if not _as_typed(text) and place is not None:
            chosen = self._lines[place]
        if chosen.endswith("/"):
            self._type(chosen)
            return
        try:
            taken = self._make(chosen) if self._is_name(chosen) else self._file(chosen)
        except InputError as error:
            self.query_one(Problem).say(error)
            (self._columns if "columns" in str(error) else self._line).focus()
        else:
            self._typed.clear()
            self.dismiss(taken)

    def _is_name(self, text: str) -> bool:
        return text in self._names or not (_is_path(text) or text.lower().endswith(ENDINGS))

    def _file(self, path: str) -> PromptSet:
        columns = self._columns.value.strip()
        return read_task_file(
            Path(os.path.expanduser(path)), parse_columns(columns) if columns else None
        )


def _common(texts: list[str]) -> str:
    """What all of them begin with."""
    both = zip(min(texts, default=""), max(texts, default=""), strict=False)
    return "".join(one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both))


def _is_path(text: str) -> bool:
    return "/" in text or text.startswith(("~", "."))


def _as_typed(text: str) -> bool:
    """Whether what is typed says it all: a file that is there, or tasks by their whole names."""
    tasks = text and all(each.strip() in TASKS for each in text.split(","))
    return bool(tasks) or (bool(text) and os.path.isfile(os.path.expanduser(text)))


def _paths(text: str) -> list[str]:
    """Folders and files of cases whose path begins so, as they would be typed."""
    folder, slash, start = text.rpartition("/")
    try:
        with os.scandir(os.path.expanduser(folder + slash) or ".") as entries:
            found = [
                f"{folder}{slash}{each.name}{'/' if each.is_dir() else ''}"
                for each in entries
                if each.name.startswith(start)
                and (start or not each.name.startswith("."))
                and (each.is_dir() or each.name.lower().endswith(ENDINGS))
            ]
    except (OSError, ValueError):  # there is no such folder
        return []
    return sorted(found)[:OFFERED]
