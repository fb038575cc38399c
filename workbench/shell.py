"""What the parts of the application ask of the program around them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol

from textual.message import Message
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.timer import Timer

from screens.base import WorkbenchScreen
from screens.workspace import Result


class Shell(Protocol):
    """The screens as the runs, the replay and the library know them."""

    @property
    def front(self) -> WorkbenchScreen | None:
        """The workbench screen in front, behind any dialog."""

    def notify(
        self,
        message: str,
        *,
        title: str = ...,
        severity: SeverityLevel = ...,
        timeout: float | None = ...,
    ) -> None:
        """Say something."""

    def said(self) -> AbstractContextManager[None]:
        """What goes wrong inside is said in one line, and the program goes on."""

    def bring_up_to_date(self) -> None:
        """Show the workspace as it is now."""

    def look_again(self) -> None:
        """Show what is on disk now."""

    def present(self, result: Result, stay: bool = False) -> None:
        """Show a result on its screen, and go there unless told to stay."""

    def show_replayed(self) -> None:
        """Show the step that a replay is at."""

    def post_message(self, message: Message) -> bool:
        """Take a message, from whichever thread."""

    def push_screen(self, screen: Screen[Any], callback: Callable[[Any], Any] | None = None) -> Any:
        """Ask something."""

    def run_worker(self, work: Coroutine[Any, Any, None]) -> Any:
        """Do something that takes a while beside everything else."""

    def set_interval(self, interval: float, callback: Callable[[], Any]) -> Timer:
        """Do something again and again."""
