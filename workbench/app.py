"""The terminal application: the screens in front, the ways between them, and the way out.

What it owns does the rest: `runs` has steps computed, `player` replays sessions, `library` keeps
notes, names and views, `staging` the changes. Each answers what the screens ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType, Keymap
from textual.events import Event, Key
from textual.filter import LineFilter, NoColor
from textual.notifications import SeverityLevel
from textual.theme import Theme

from analysis.errors import WorkbenchError
from analysis.folders import file_aside
from screens import messages
from screens.base import WorkbenchScreen
from screens.chain import ChainScreen
from screens.change import ChangeScreen
from screens.chrome import TABS
from screens.colours import DARK, LIGHT
from screens.dialogs import Confirm, KeyList
from screens.heads import HeadsScreen
from screens.keys import Keys, shipped, unlisted
from screens.messages import NoteRequested, Request
from screens.neurons import NeuronsScreen
from screens.paper import PaperScreen
from screens.patch import PatchScreen
from screens.prompts import PromptsScreen
from screens.result import ResultScreen
from screens.sessions import SessionsScreen
from screens.text import lines
from screens.timeline import TimelineDialog
from screens.tokens import TokensScreen
from screens.workspace import Result, Workspace
from sessions import Follower, Session
from workbench.clipboard import Clipboard
from workbench.commands import RECENT, commands
from workbench.jobs import JobMessage
from workbench.library import Library
from workbench.paths import config_file
from workbench.player import Player
from workbench.runs import Runs
from workbench.settings import Settings
from workbench.staging import Staging
from workbench.terminal import key_after_escape, leave_with_the_terminal, portable

SCREENS: tuple[type[WorkbenchScreen], ...] = (
    PromptsScreen,
    HeadsScreen,
    NeuronsScreen,
    TokensScreen,
    ChainScreen,
    ChangeScreen,
    SessionsScreen,
    PaperScreen,
    PatchScreen,
    ResultScreen,
)
AT_ONCE = 0.05
"""Seconds from one of two keys that came at once to the other."""
EVERYWHERE: list[BindingType] = shipped(
    [
        *(unlisted(key, f"visit('{name}')", label, id=f"app.{name}") for key, name, label in TABS),
        unlisted("escape", "back", "Back / stop", id="app.back-stop"),
        unlisted("q", "leave", "Back, then quit", id="app.back-then-quit"),
        unlisted("Q", "quit", "Quit", id="app.quit"),
        Binding("question_mark", "keys", "Keys", id="app.keys"),
        unlisted("colon,ctrl+p", "keys", "Keys", id="app.keys"),
        unlisted("p,P", "picture", "Picture of the screen", id="app.picture-of-the-screen"),
        unlisted("ctrl+g", "guide", "Guide", id="app.guide"),
        unlisted("ctrl+t", "change_theme", "Theme", id="app.theme"),
        unlisted("ctrl+z", "suspend_process", "Suspend", id="app.suspend"),
    ],
)


def screen_for(kind: str) -> type[WorkbenchScreen]:
    """The screen that shows the steps of a kind: its own, or the one of all kinds without one."""
    own = (each for each in SCREENS if kind in (*each.KINDS, *each.BESIDE))
    return next(own, ResultScreen)


class WorkbenchApp(App[None]):
    """The workbench. Live its runs have a job thread; replaying a session they have none."""

    TITLE = "CNA Workbench"
    NOTIFICATION_TIMEOUT = 4
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    /* Under NO_COLOR styles of text say what colours say elsewhere. */
    Input:nocolor > .input--cursor { text-style: reverse; }
    OptionList:nocolor > .option-list--option-highlighted { text-style: bold underline; }
    FrameTable:blur:nocolor > .frame-table--bar { text-style: dim; }
    TokenStrip:nocolor > .token-strip--odd { text-style: underline; }
    TokenStrip:nocolor > .token-strip--answer-odd { text-style: bold underline; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [*EVERYWHERE, *Player.BINDINGS]

    def __init__(
        self,
        workspace: Workspace,
        settings: Settings | None,
        session: str | Session | None = None,
        follower: Follower | None = None,
        runs: Runs | None = None,
    ) -> None:
        """Make the application.

        Args:
            workspace: what the screens show; it may be replaying already.
            settings: the model to work on, and how.
            session: where steps are recorded: a session held for writing, the name of one to
                begin, or None for a generated name.
            follower: of the session replayed, if another process may be writing it.
            runs: what has steps computed; None: a job thread does.
        """
        super().__init__()
        self.workspace = workspace
        self.runs = runs or Runs(self, workspace, settings, session)
        self.player = Player(self, workspace)
        self.library = Library(self, workspace)
        self.staging = Staging(self, workspace)
        self.clipboards = Clipboard(self, super().copy_to_clipboard)
        self._theme_kept = settings.theme if settings else None
        self._follower = follower
        self._trail: list[str] = []
        self._recent: list[str] = []
        """Words of what was done from the list of keys, the latest first."""
        self._answers = self._who_answers()

    def _who_answers(self) -> dict[type[Request], Callable[[Any], object]]:
        """What answers each request of a screen."""
        runs, library, staging = self.runs, self.library, self.staging
        return {
            messages.StepRequested: lambda asked: runs.ask(asked.step, asked.stay),
            messages.ResumeRequested: lambda asked: runs.resume(asked.result_id),
            messages.RerunRequested: lambda asked: runs.rerun(asked.result_id),
            messages.StopRequested: lambda asked: runs.stop(asked.result_id),
            messages.PromptsChosen: self._work_on,
            messages.ExportRequested: lambda asked: runs.export(
                asked.folder, asked.changes, asked.format
            ),
            messages.ResultLeft: library.keep_view,
            messages.NoteRequested: library.ask_note,
            messages.SessionRenamed: lambda asked: library.rename(asked.name, asked.new),
            messages.SessionRemoved: lambda asked: library.remove(asked.name),
            messages.SessionChosen: lambda asked: self.player.choose(asked.name, asked.step),
            messages.StepChosen: lambda asked: self.player.go_to(asked.result_id),
            messages.CopyRequested: lambda asked: self.copy_to_clipboard(asked.text, asked.what),
            messages.ScreenRequested: self._follow,
            messages.ChangesStaged: lambda asked: staging.put(asked.changes, asked.words),
            messages.HistoryRequested: lambda asked: staging.go(asked.by),
            messages.VariantRequested: lambda asked: staging.turn_use(),
        }

    @on(Request)
    def _requested(self, event: Request) -> None:
        self._answers[type(event)](event)

    @on(JobMessage)
    def _job_told(self, event: JobMessage) -> None:
        self.runs.heard(event)

    # Beginning and ending

    def on_mount(self) -> None:
        """Put the screens up, paint, and only then let the job thread import anything heavy."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        theme = self._theme_kept
        self.theme = first = theme if theme in self.available_themes else DARK.name
        for screen in SCREENS:
            self.install_screen(screen(self.workspace), screen.NAME)
        # The shell has written over everything; by itself only what has changed would be drawn.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme, first))
        leave_with_the_terminal(self)
        if self.workspace.replaying:
            self.player.begin(self._follower)
        else:
            self.push_screen("prompts")
            self.call_after_refresh(self._start)

    def _keep_theme(self, theme: Theme, first: str) -> None:
        """Say what keeps a theme; the program begins with one that is kept already."""
        if theme.name != first:
            self.notify(f'theme = "{theme.name}" in {config_file()} keeps it')

    def _start(self) -> None:
        """Show what the session has already, say what is unfinished in it, and load the model."""
        workspace = self.workspace
        if workspace.session is not None and workspace.results:
            count, unfinished = len(workspace.results), workspace.unfinished
            words = f"{workspace.session.name} has {count} step{'s' if count > 1 else ''}"
            if unfinished:
                last = unfinished[-1]
                words += f"; {last.name} is {last.state} at {last.done} of {last.expected} rows"
                screen = self.get_screen(screen_for(last.step.kind).NAME, WorkbenchScreen)
                if screen.goes_on:
                    words += f": <{screen.goes_on}> goes on with it"
                if len(unfinished) > 1:
                    words += f". {len(unfinished) - 1} more unfinished: <replay.steps> lists all"
            self.notify(words, timeout=12)
            self.present(unfinished[-1] if unfinished else workspace.results[-1])
        self.runs.start()

    def close_jobs(self) -> None:
        """Stop what runs; called when the program ends, however it ends."""
        self.runs.close()

    def exit(self, *given: Any, **named: Any) -> None:
        """End the program, however it came to that."""
        if self.front is not None:
            self.library.keep_view(self.front.looked_at())
        super().exit(*given, **named)

    # What Textual asks

    def copy_to_clipboard(self, text: str, what: str = "the text") -> None:
        """Put text where it can be pasted from, and say where that is."""
        self._clipboard = text
        self.clipboards.put(text, what)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Under NO_COLOR no colours at all; Textual would turn them to greys."""
        return [NoColor()] if self.no_color else super().get_line_filters()

    def set_keymap(self, keymap: Keymap) -> None:
        """Take keys of the user's own, in words that name them too."""
        super().set_keymap(keymap)
        self.workspace.keys = Keys(keymap)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys of a replay in a replay only, and of going on where there is a model."""
        if action == "go_on" and self.workspace.replaying:
            return self.runs.can_go_on
        return self.workspace.replaying or action not in Player.IN_REPLAY

    async def on_event(self, event: Event) -> None:
        """Take escape and a letter or digit that come at once for these two keys."""
        key = None
        if isinstance(event, Key) and not (
            event.is_forwarded or event.key in self.screen.active_bindings
        ):
            key = key_after_escape(event, self.focused)
        if key is None:
            await super().on_event(event)
            return
        self.simulate_key("escape")
        self.set_timer(AT_ONCE, partial(self.simulate_key, key))  # once a dialog is closed

    # What the parts ask: see `Shell`

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Say something, with keys in place of `<actions>`; nothing in it is markup or obeyed."""
        words = lines(self.workspace.keys.fill(message))
        super().notify(words, title=title, severity=severity, timeout=timeout, markup=False)

    @contextmanager
    def said(self) -> Iterator[None]:
        """What goes wrong inside is said in one line, and the program goes on."""
        try:
            yield
        except WorkbenchError as error:
            self.notify(str(error), severity="error")

    @property
    def front(self) -> WorkbenchScreen | None:
        """The workbench screen in front, behind any dialog."""
        screens = [each for each in self.screen_stack if isinstance(each, WorkbenchScreen)]
        return screens[-1] if screens else None

    def bring_up_to_date(self) -> None:
        """Show the workspace as it is now."""
        front = self.front
        # What comes in while the program ends finds screens that are being taken down.
        if front is None or not self.is_running:
            return
        front.refresh_all()
        if isinstance(self.screen, TimelineDialog):
            self.screen.refresh_all()

    def look_again(self) -> None:
        """Bring the screens up to date with a disk that has changed."""
        self.get_screen("sessions", SessionsScreen).forget()
        self.bring_up_to_date()

    def present(self, result: Result, stay: bool = False) -> None:
        """Show a result on its screen, and go there unless told to stay."""
        before = None if self.front is None else self.front.result
        if before is not None and before.id != result.id:
            self.workspace.came_from[result.id] = before.id
        self._show(result)
        if not stay:
            self.action_visit(screen_for(result.step.kind).NAME)
        self.bring_up_to_date()

    def _show(self, result: Result) -> None:
        """Make a result the one its screen shows, instead of others that compete for it."""
        kind = result.step.kind
        kinds = screen_for(kind).KINDS
        self.workspace.show(result, *(kinds if kind in kinds else (kind,)), ResultScreen.NAME)

    def show_replayed(self) -> None:
        """Show the step a replay is at on the screen it belongs to."""
        workspace = self.workspace
        name = "sessions"
        if (result := workspace.replayed) is not None:
            name = screen_for(result.step.kind).NAME
            workspace.go_to_case(result.step)
            workspace.shown.clear()
            for each in workspace.results[: workspace.replay_place + 1]:
                self._show(each)
            self.get_screen(name, WorkbenchScreen).look_afresh()
        front = self.front
        if front is None:
            self.push_screen(name)
        elif name != front.NAME:
            self.action_visit(name)
        self.bring_up_to_date()

    # What the screens ask of the program itself

    def _work_on(self, asked: messages.PromptsChosen) -> None:
        """Work on other prompts."""
        self.workspace.prompts = asked.prompts
        self.workspace.case = asked.case
        self.runs.read_case()
        self.bring_up_to_date()

    def _follow(self, asked: messages.ScreenRequested) -> None:
        """Show another screen, with the result that it is to show."""
        if asked.result_id is not None and (found := self.workspace.find(asked.result_id)):
            self.workspace.show(found, asked.name)
        self.action_visit(asked.name)

    # Keys

    def action_visit(self, name: str) -> None:
        """Show a screen; escape comes back."""
        front = self.front
        if front is None or name == front.NAME or self.screen is not front:
            return
        # A screen is on the way back once, however often it was visited.
        self._trail = [each for each in self._trail if each not in (name, front.NAME)]
        self._trail.append(front.NAME)
        self.switch_screen(name)

    async def action_back(self) -> None:
        """Stop what this screen is computing, or go back."""
        front = self.front
        if front is not None and front.stop_own():
            return
        if self._trail:
            self.switch_screen(self._trail.pop())

    async def action_leave(self) -> None:
        """Go back to the screen before; from the first one, quit."""
        if self._trail:
            self.switch_screen(self._trail.pop())
        else:
            await self.action_quit()

    def action_help_quit(self) -> None:
        """Say how to leave to whoever tries with ctrl+c."""
        self.notify("<app.quit> quits, <app.back-stop> stops what runs here or goes back.")

    async def action_quit(self) -> None:
        """Quit, asking where something would be lost."""
        workspace = self.workspace
        if workspace.running is not None:
            question = "A step is running. Quit?"
            hint = "What is finished is kept; workbench resume goes on with it."
        elif workspace.staged.unsaved:
            question = "Staged changes are not exported. Quit?"
            write = workspace.keys.fill("<change.write> on <app.change> writes them.")
            hint = f"Staged: {workspace.staged.changes}. {write}"
        else:
            self.exit()
            return
        self.push_screen(Confirm(question, hint), lambda yes: self.exit() if yes else None)

    def action_keys(self) -> None:
        """List what can be done here with its keys, to search and to do."""
        front = self.front
        if front is None or self.screen is not front:
            return
        offered = commands(self, front, self._recent)

        def chosen(place: int | None) -> None:
            if place is not None:
                command = offered[place]
                words = command.shown.words
                self._recent = [words, *(each for each in self._recent if each != words)][:RECENT]
                self.call_later(command.run)

        key = self.workspace.keys.key
        titles = {name: f"{key(f'app.{name}')} {label}" for _, name, label in TABS}
        title = titles.get(front.NAME, front.NAME.capitalize())
        self.push_screen(KeyList(f"Keys · {title}", [each.shown for each in offered]), chosen)

    def action_picture(self) -> None:
        """Save the screen, without notices, as an SVG in the working folder."""
        if self.front is not None:
            self.clear_notifications()
            self.call_after_refresh(self._save_picture, self.front.NAME)

    def _save_picture(self, name: str) -> None:
        file = Path.cwd() / f"workbench-{name}-{datetime.now():%Y%m%d-%H%M%S}.svg"
        picture = portable(self.export_screenshot(title=name), name)
        with self.said():
            with file_aside(file) as aside:
                aside.write_text(picture, "utf-8")
            self.notify(f"Saved {file.name} in {file.parent}")

    def action_guide(self) -> None:
        """Lead the way from a prompt to a neuron's tokens, or stop leading."""
        self.workspace.guided = not self.workspace.guided
        if not self.workspace.guided:
            self.notify("<app.guide> brings the guide back.")
        self.bring_up_to_date()

    # Keys of a replay

    def action_replay(self, by: int) -> None:
        """Step through a replay."""
        self.player.step(by)

    def action_edge(self, end: str) -> None:
        """Go to the first or the last step of a replay."""
        self.player.edge(end)

    def action_play(self) -> None:
        """Step through a replay by itself, or stop doing so."""
        self.player.play()

    def action_timeline(self) -> None:
        """List the steps so far, to go to one of them."""
        if not self.workspace.results:
            self.notify("There are no steps yet.")
        elif self.screen is self.front:
            self.push_screen(TimelineDialog(self.workspace))

    def action_note(self) -> None:
        """Write a note on the step in sight."""
        front = self.front
        result = self.workspace.replayed or (front.result if front is not None else None)
        if result is None or result.recorded is None:
            self.notify("Notes are written on steps, and there is none here yet.")
        else:
            self.post_message(NoteRequested(None, result.recorded.id))

    def action_go_on(self) -> None:
        """Leave the replay and go on live in the same session, where that can be."""
        if self.runs.go_on():
            self.player.leave()
            self.bring_up_to_date()
