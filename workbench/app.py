"""The terminal application: the screens in front, the ways between them, and the way out.

What it owns does the rest: `runs` has steps computed, `player` replays sessions, `library` keeps
notes, names and views, `staging` the changes, `desk` how a session is left, `offer` says what can
be gone on with. Each answers what the screens ask for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from rich.terminal_theme import TerminalTheme
from textual import on
from textual.app import App
from textual.binding import BindingType, Keymap
from textual.events import Event, Key
from textual.filter import LineFilter, NoColor
from textual.notifications import SeverityLevel

from analysis.errors import WorkbenchError
from analysis.folders import file_aside
from screens import messages
from screens.base import WorkbenchScreen
from screens.case_form import CaseForm
from screens.chrome import TABS
from screens.dialogs import Confirm, KeyList
from screens.messages import NoteRequested, Request
from screens.notice_list import keep_clear
from screens.overlays import ThemeChoice
from screens.result import ResultScreen
from screens.sessions import SessionsScreen
from screens.text import counted, lines
from screens.themes import DARK, THEMES, named_colours
from screens.timeline import TimelineDialog
from screens.workspace import Result, Workspace
from sessions import Follower, Session
from workbench.clipboard import Clipboard
from workbench.commands import RECENT, Command, commands, recent_first
from workbench.desk import DeskKeeper
from workbench.findable import Findable
from workbench.jobs import JobMessage
from workbench.key_order import KeyOrder
from workbench.library import Library
from workbench.offer import Offer
from workbench.player import Player
from workbench.preferences import OwnPreferences
from workbench.roster import EVERYWHERE, SCREENS, screen_for
from workbench.runs import Runs
from workbench.settings import Settings
from workbench.staging import Staging
from workbench.table_files import TableFiles
from workbench.terminal import leave_with_the_terminal, portable


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
        self.desk = DeskKeeper(self, workspace)
        self.offer = Offer(self, workspace, self.runs, settings)
        self.table_files = TableFiles(self, workspace)
        self.clipboards = Clipboard(self, super().copy_to_clipboard)
        self.preferences = workspace.preferences = OwnPreferences(self, settings)
        self._follower = follower
        self._trail: list[str] = []
        self._recent: list[str] = []
        """Words of what was done from the list of keys, the latest first."""
        self._key_order = KeyOrder(self, self._act_on)
        self._answers = self._who_answers()

    def _who_answers(self) -> dict[type[Request], Callable[[Any], object]]:
        """What answers each request of a screen."""
        runs, library, staging = self.runs, self.library, self.staging
        return {
            messages.StepRequested: self._ask,
            messages.ResumeRequested: lambda asked: runs.resume(asked.result_id),
            messages.RerunRequested: lambda asked: runs.rerun(asked.result_id),
            messages.StopRequested: lambda asked: runs.stop(asked.result_id),
            messages.PromptsChosen: self._work_on,
            messages.ReadingRequested: lambda asked: runs.read_draft(asked.prompt),
            messages.ExportRequested: lambda asked: runs.export(
                asked.folder, asked.changes, asked.format
            ),
            messages.ResultLeft: library.keep_view,
            messages.ResultSeen: lambda asked: self.desk.see(asked.result_id),
            messages.NoteRequested: library.ask_note,
            messages.SessionRenamed: lambda asked: library.rename(asked.name, asked.new),
            messages.SessionRemoved: lambda asked: library.remove(asked.name),
            messages.SessionChosen: lambda asked: self.player.choose(asked.name, asked.step),
            messages.StepChosen: lambda asked: self.player.go_to(asked.result_id),
            messages.CopyRequested: lambda asked: self.copy_to_clipboard(asked.text, asked.what),
            messages.RowsRequested: self.table_files.ask,
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
        for each in THEMES.values():
            self.register_theme(each)
        theme = self.preferences.theme
        self.theme = theme if theme in self.available_themes else DARK.name
        for screen in SCREENS:
            self.install_screen(screen(self.workspace), screen.NAME)
        # The shell has written over everything; by itself only what has changed would be drawn.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        leave_with_the_terminal(self)
        if self.workspace.replaying:
            self.player.begin(self._follower)
        else:
            self.push_screen("prompts")
            self.call_after_refresh(self._start)

    def _start(self) -> None:
        """Show what the session has already, load the model, and offer what is unfinished."""
        workspace = self.workspace
        if (session := workspace.session) is None:
            self.run_worker(self.offer.look(), exit_on_error=False)
        else:
            words = [f"{session.name} has {counted(len(workspace.results), 'step')}"]
            if len(unfinished := workspace.unfinished) > 1:
                words.append(f"{len(unfinished)} are unfinished: <replay.steps> lists them")
            self.notify("; ".join(words))
            if workspace.opens_at is not None:
                self.present(workspace.opens_at)
        self.runs.start()
        self.offer.of_hand()

    def close_jobs(self) -> None:
        """Stop what runs; called when the program ends, however it ends."""
        self.runs.close()

    def exit(self, *given: Any, **named: Any) -> None:
        """End the program, however it came to that."""
        if self.front is not None:
            self.library.keep_view(self.front.looked_at())
        if (running := self.workspace.running) is not None:
            self.workspace.seen = running.id  # stopped by this, and named when one is gone
        self.desk.keep()
        super().exit(*given, **named)

    # What Textual asks

    def copy_to_clipboard(self, text: str, what: str = "the text") -> None:
        """Put text where it can be pasted from, and say where that is."""
        self._clipboard = text
        self.clipboards.put(text, what)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Under NO_COLOR no colours at all; Textual would turn them to greys."""
        return [NoColor()] if self.no_color else super().get_line_filters()

    @property
    def ansi_theme(self) -> TerminalTheme:
        """What colours that have names are here: those of the theme."""
        theme = THEMES.get(self.theme)
        return super().ansi_theme if theme is None else named_colours(theme)

    def set_keymap(self, keymap: Keymap) -> None:
        """Take keys of the user's own, in words that name them too."""
        super().set_keymap(keymap)
        self.workspace.keys.choose(keymap)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer the keys of a replay in a replay only, and of going on where there is a model."""
        if action == "go_on" and self.workspace.replaying:
            return self.runs.can_go_on
        return self.workspace.replaying or action not in Player.IN_REPLAY

    async def on_event(self, event: Event) -> None:
        """Let keys act one after the other."""
        if isinstance(event, Key) and not event.is_forwarded:
            await self._key_order.take(event)
        else:
            await super().on_event(event)
        if isinstance(event, Key) and self._notifications:
            self.call_after_refresh(keep_clear, self)

    async def _act_on(self, key: Key) -> None:
        """Have a key act, unless it answers an offer."""
        if not (self.screen is self.front and self.offer.heard(key.key)):
            await super().on_event(key)

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
        keys, seconds = self.workspace.keys, timeout or self.NOTIFICATION_TIMEOUT
        words = lines(keys.fill(message))
        title = keys.fill(self.workspace.notices.add(words, title, severity, seconds))
        super().notify(words, title=title, severity=severity, timeout=timeout, markup=False)
        self.call_after_refresh(keep_clear, self)

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
        self.desk.keep()
        for each in self.screen_stack:  # another dialog may stand over it
            if isinstance(each, TimelineDialog | CaseForm):
                each.refresh_all()

    def look_again(self) -> None:
        """Bring the screens up to date with a disk that has changed."""
        self.get_screen("sessions", SessionsScreen).forget()
        self.bring_up_to_date()

    def present(self, result: Result, stay: bool = False) -> None:
        """Show a result on its screen, and go there unless told to stay."""
        before = None if self.front is None else self.front.result
        if before is not None and before.id != result.id:
            self.workspace.came_from[result.id] = before.id
        if not stay:
            self._show(result)
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

    def _ask(self, asked: messages.StepRequested) -> None:
        """Have a step run; in a replay show the one that is recorded."""
        if self.workspace.replaying:
            self.player.lead_to(asked)
        else:
            self.runs.ask(asked.step, asked.stay)

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
        """Undo what is nearest on this screen, or go back."""
        front = self.front
        if front is not None and front.undo_nearest():
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
        elif workspace.staged.unsaved and not self.desk.keeps_staged:
            question = "Staged changes are not exported. Quit?"
            write = workspace.keys.fill("<change.write> on <app.change> writes them.")
            hint = f"Staged: {workspace.staged.changes}. {write}"
        else:
            self.exit()
            return
        self.push_screen(Confirm(question, hint), lambda yes: self.exit() if yes else None)

    def action_keys(self) -> None:
        """List what can be done here with its keys, to search and to do."""
        if (front := self.front) is not None:
            title = f"Keys · {self._titles[front.NAME]}"
            self._offer(title, commands(self, front))

    def action_find(self) -> None:
        """List all there is, to search and to do or to go to."""
        if (front := self.front) is not None:
            screens = {each.NAME: self.get_screen(each.NAME, WorkbenchScreen) for each in SCREENS}
            found = Findable(self, front, screens, self._titles, self.action_visit)
            self._offer("Find anything", found.everything())

    @property
    def _titles(self) -> dict[str, str]:
        """What the screens are called, with their keys."""
        key = self.workspace.keys.key
        titles = {name: f"{key(f'app.{name}')} {label}" for _, name, label in TABS}
        return {each.NAME: titles.get(each.NAME) or str(each.TITLE) for each in SCREENS}

    def _offer(self, title: str, found: Sequence[Command]) -> None:
        """List what can be done, what was done last on top, and do what is chosen."""
        if self.screen is not self.front:
            return
        offered = recent_first(found, self._recent)

        def chosen(place: int | None) -> None:
            if place is not None:
                command = offered[place]
                words = command.shown.words
                self._recent = [words, *(each for each in self._recent if each != words)][:RECENT]
                self.call_later(command.run)

        shown = [each.shown for each in offered]
        self.push_screen(KeyList(title, shown, self.size.width), chosen)

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

    def action_change_theme(self) -> None:
        """Choose one of the themes, which is kept."""
        if self.screen is not self.front:
            return
        before = self.theme

        def chosen(theme: str | None) -> None:
            if theme is None:
                self.theme = before
                return
            with self.said():
                self.notify(self.preferences.change("theme", theme))
            self.bring_up_to_date()

        self.push_screen(ThemeChoice(self.preferences.themes, before), chosen)

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
            self.offer.of_hand()
