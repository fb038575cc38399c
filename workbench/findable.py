"""All that can be found from the list behind `:`, wherever it is: actions, tasks, sessions, steps,
settings and pages of help. Nothing is read but names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.keys import format_key

from analysis.tasks.standard import ARITHMETIC, TASKS, about, task
from screens.base import BY_SHAPE, WorkbenchScreen
from screens.dialogs import Doable
from screens.help_page import HelpPage
from screens.messages import PromptsChosen, SessionChosen, StepChosen
from screens.prompts import PromptsScreen
from screens.sessions import EXAMPLE
from screens.settings import SettingsScreen
from sessions import examples_root, root
from sessions.paths import names_in
from workbench.commands import Command, commands
from workbench.help_pages import text_of, title_of, topics
from workbench.settings import Settings


@dataclass(frozen=True)
class Findable:
    """What there is beside the screen in front.

    Args:
        app: the application.
        front: the screen in front.
        screens: all screens by name.
        titles: what each is called, by name.
        visit: shows the screen of a name.
    """

    app: App[Any]
    front: WorkbenchScreen
    screens: Mapping[str, WorkbenchScreen]
    titles: Mapping[str, str]
    visit: Callable[[str], None]

    def everything(self) -> list[Command]:
        """All of it, what is nearest first; in a replay what works there."""
        here = commands(self.app, self.front)
        known = {each.shown.words for each in here if each.shown.where == "this screen"}
        others = [*self._actions(self.front, known)]
        for screen in self.screens.values():
            if screen is not self.front:
                others += self._actions(screen, set())
        return [
            *here,
            *others,
            *self._steps(),
            *self._tasks(),
            *self._sessions(),
            *self._settings(),
            *self._pages(),
        ]

    def _actions(self, screen: WorkbenchScreen, known: set[str]) -> Iterator[Command]:
        """What a screen does, also what it only says that it does not do now."""
        workspace = self.front.workspace
        own = {str(each.id): each for each in Binding.make_bindings(type(screen).BINDINGS)}
        where = "this screen" if screen is self.front else self.titles[screen.NAME]
        for id, each in own.items():
            action = each.action.partition("(")[0]
            works = screen.refusal(action) is None and action != "mark"  # there space plays
            if each.description not in known and (works or not workspace.replaying):
                keys = " ".join(map(format_key, workspace.keys.of(id)))
                shown = Doable(each.description, keys, where)
                yield Command(shown, partial(self._do, screen, each.action))

    def _do(self, screen: WorkbenchScreen, action: str) -> None:
        """Show a screen and have it do something, or say why it does not."""

        async def do() -> None:
            if (reason := screen.refusal(action.partition("(")[0])) is not None:
                screen.notify(reason, severity="warning")
            else:
                await self.app.run_action(action, screen)

        self.visit(screen.NAME)
        screen.call_after_refresh(do)

    def _steps(self) -> Iterator[Command]:
        for place, result in enumerate(self.front.workspace.results, start=1):
            kind = result.step.kind
            shows = (each for each in self.screens.values() if kind in (*each.KINDS, *each.BESIDE))
            where = self.titles[next(shows, self.screens[BY_SHAPE]).NAME]
            shown = Doable(result.step.title, f"step {place}", where, "step")
            yield Command(shown, partial(self._ask, StepChosen(result.id)))

    def _tasks(self) -> Iterator[Command]:
        if self.front.workspace.replaying:
            return
        for name in TASKS:
            where = self.titles[PromptsScreen.NAME]
            shown = Doable(f"{name} · {about(name)}", "task", where, "task")
            yield Command(shown, partial(self._work_on, name))

    def _work_on(self, name: str) -> None:
        """Take the cases of a task, arithmetic behind as many worked examples as the last."""
        screen = self.screens[PromptsScreen.NAME]
        assert isinstance(screen, PromptsScreen)
        self._ask(PromptsChosen(task(name, screen.shots if name in ARITHMETIC else 0), 0))
        self.visit(screen.NAME)

    def _sessions(self) -> Iterator[Command]:
        own, shipped = names_in(root()), names_in(examples_root())
        for name in (*own, *(EXAMPLE + each for each in shipped)):
            shown = Doable(name, "session", "replay", "session")
            yield Command(shown, partial(self._ask, SessionChosen(name)))

    def _settings(self) -> Iterator[Command]:
        for name in Settings.model_fields:
            where = self.titles[SettingsScreen.NAME]
            shown = Doable(name.replace("_", " "), "setting", where, "setting")
            yield Command(shown, partial(self._set, name))

    def _set(self, name: str) -> None:
        """Show the page of settings with the cursor on one."""
        screen = self.screens[SettingsScreen.NAME]
        self.visit(screen.NAME)
        screen.call_after_refresh(lambda: screen.table.move_to(name))

    def _pages(self) -> Iterator[Command]:
        for topic in topics():
            shown = Doable(f"{topic} · {title_of(topic)}", "help", "page", "page")
            yield Command(shown, partial(self._open, topic))

    def _open(self, topic: str) -> None:
        self.app.push_screen(HelpPage(f"docs/{topic}.md", text_of(topic)))

    def _ask(self, message: Any) -> None:
        self.app.post_message(message)
