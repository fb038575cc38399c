"""Hands over a workbench with results of every kind and no model: a key, and what it must do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from piloting import Driver
from recorded_chain import open_chain
from recorded_change import KINDS
from recorded_change import shown as changed
from replays import replay_of
from textual.message import Message

from analysis.changes import Changes
from screens.base import WorkbenchScreen
from screens.costs import weighed
from screens.messages import StepRequested
from screens.staged import Staged
from screens.workspace import Reading, Result, Workspace
from sessions import Session
from workbench.app import WorkbenchApp
from workbench.runs import Runs
from workbench.settings import load_settings

TABLES_OF_PAPER = "020-table"
FOCUS = {
    "prompts": "#cases",
    "heads": "HeadMap",
    "neurons": "#neurons",
    "tokens": "#top",
    "chain": "ChainView",
    "change": "#staged",
    "sessions": "#sessions",
    "paper": "#tables",
    "result": "PositionMap",
    "settings": "#settings",
    "keys": "#keys",
}
"""What has the keys of each screen at first."""

START = {"heads": {"cursor": "L0H0"}, "chain": {"cursor": "L20H8"}, "result": {"cursor": [0, 11]}}
"""Where the cursor is at first; in tables it is in the first row."""


class NoRuns(Runs):
    """Computes nothing: what is asked of it is seen and weighed, not done."""

    def start(self) -> None:
        pass

    def ask(self, step, stay=False) -> None:
        weighed(step, self._workspace, 0, self._shell.push_screen, lambda chosen: None)


class Idle(WorkbenchApp):
    """The workbench without a job thread."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, load_settings(), runs=NoRuns(self, workspace, load_settings()))
        self.left = self.suspended = 0
        self.told: list[str] = []

    def exit(self, *given, **named) -> None:
        self.left += 1

    def action_suspend_process(self) -> None:
        self.suspended += 1

    def notify(self, message: str, **how) -> None:
        self.told.append(self.workspace.keys.fill(message))


def workspace_of_all() -> Workspace:
    """Recorded results of heads, neurons, tokens, a chain, a change and a table."""
    results = [*changed(KINDS[-1]).results]  # puts its session among those of the test
    chain = open_chain()
    results += [Result.read(each, chain.info.model) for each in chain.steps[:1]]
    paper = Session.open("example:paper")
    results.append(Result.read(paper.step(TABLES_OF_PAPER), paper.info.model))
    workspace = replay_of("example:addition")
    workspace.results += results
    return workspace


@dataclass(frozen=True)
class Act:
    """What a key does, seen from before and after."""

    effect: Effect
    first: tuple[str, ...] = ()
    """Keys to press before."""
    given: Callable[[Workspace], object] = lambda workspace: None
    """What holds before."""
    offered: bool = True
    """Whether the key is offered then; if not, it says why."""


class Hands(Driver):
    """A user who presses one key at a time, each time from the same beginning."""

    def __init__(self, app: Idle, pilot, messages: list[Message]) -> None:
        super().__init__(app, pilot)
        self.messages = messages
        self._all = list(app.workspace.results)
        self._session, self._prompts = app.workspace.session, app.workspace.prompts

    @property
    def screen(self):
        return self.app.screen

    async def begin(self, screen: str, *, replaying: bool, focus: str = "", given=None) -> None:
        """Stand on a screen as if nothing had been pressed yet."""
        app, workspace = self.app, self.workspace
        while not isinstance(app.screen, WorkbenchScreen):
            await app.pop_screen()
        app.screen.query_one("FilterInput").remove_class("-open")
        app.player.leave()
        workspace.results[:], workspace.session = self._all, self._session
        workspace.prompts, workspace.case = self._prompts, 0
        workspace.model = self._session.info.model
        workspace.shown.clear()
        workspace.staged, workspace.guided = Staged(), False
        workspace.replaying, workspace.replay_place = replaying, 1
        prompt, tokens = workspace.prompt, tuple(f"t{place}" for place in range(900))
        workspace.reading = Reading(prompt, tokens, frozenset(), ())
        if given is not None:
            given(workspace)
        if screen != app.screen.NAME:
            app.switch_screen(screen)
            await self.pilot.pause()
        app.screen.refresh_all()
        app.screen.show_view(START.get(screen, {}))
        if focus or screen in FOCUS:
            app.screen.query(focus or FOCUS[screen]).last().focus()
        else:
            app.screen.shown.cursor.focus()
        await self.pilot.pause()

    async def does(self, key: str, act: Act) -> bool:
        """Press a key: whether it did that, which was not so before."""
        done = act.effect(self)
        assert not done(), f"the effect of {key} cannot fail"
        await self.press(key)
        return bool(done())

    def offered(self, key: str) -> str | None:
        """The name of the action that the footer and the list of keys give a key."""
        active = self.screen.active_bindings.get(key)
        return None if active is None else name_of(active.node, active.binding)


def name_of(owner, binding) -> str:
    """An action's name; without one, the class that declares it and what it calls."""
    declaring = next(each for each in type(owner).__mro__ if "BINDINGS" in vars(each))
    return binding.id or f"{declaring.__name__}.{binding.action}"


@asynccontextmanager
async def hands(size: tuple[int, int] = (80, 24)) -> AsyncIterator[Hands]:
    """Hands over a workbench that has everything."""
    app, messages = Idle(workspace_of_all()), []
    async with app.run_test(size=size, message_hook=messages.append) as pilot:
        await pilot.pause()
        yield Hands(app, pilot, messages)


# Effects: called before the key with the hands, they give the question to ask after it.

Check: TypeAlias = Callable[[], object]
Effect: TypeAlias = Callable[[Hands], Check]


def posts(message: type[Message], fits: Callable[[Hands, Message], object] = lambda *_: True):
    """A message of a class is posted that fits."""

    def effect(user: Hands) -> Check:
        before = len(user.messages)
        return lambda: any(
            isinstance(each, message) and fits(user, each) for each in user.messages[before:]
        )

    return effect


def asks(kind: str, fits: Callable[[Hands, object], object] = lambda *_: True) -> Effect:
    """A step of a kind is asked for that fits."""
    return posts(StepRequested, lambda user, m: m.step.kind == kind and fits(user, m.step))


def becomes(look: Callable[[Hands], object], value: object) -> Effect:
    """What is looked at has a value afterwards."""
    return lambda user: lambda: look(user) == value


def turns(look: Callable[[Hands], object]) -> Effect:
    """What is looked at is another than before."""

    def effect(user: Hands) -> Check:
        before = look(user)
        return lambda: look(user) != before

    return effect


def moves(look: Callable[[Hands], int], by: int) -> Effect:
    """A number grows by so much."""

    def effect(user: Hands) -> Check:
        before = look(user)
        return lambda: look(user) == before + by

    return effect


def goes(place: str) -> Effect:
    """Another screen, or a dialog, is in front."""
    return becomes(lambda user: user.here, place)


def opens(dialog: str, words: str) -> Effect:
    """A dialog is in front whose question has these words."""
    return lambda user: lambda: user.here == dialog and words in user.text(".question")


def says(words: str) -> Effect:
    """A notice has these words."""

    def effect(user: Hands) -> Check:
        before = len(user.app.told)
        return lambda: any(words in each for each in user.app.told[before:])

    return effect


# What holds before.


def staged(workspace: Workspace) -> None:
    """A head is staged."""
    workspace.staged.put(Changes.parse(["L20H8"]))


def in_state(kind: str, state: str) -> Callable[[Workspace], None]:
    """The latest result of a kind is in a state."""

    def given(workspace: Workspace) -> None:
        found = [each for each in workspace.results if each.step.kind == kind][-1]
        place = workspace.results.index(found)
        workspace.results[place] = replace(found, state=state)

    return given
