"""The screens over one workspace: which is in front, the ways between them, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType, Keymap
from textual.events import Event, Key
from textual.filter import LineFilter, NoColor
from textual.notifications import SeverityLevel
from textual.theme import Theme
from textual.widgets import Input

from analysis.errors import WorkbenchError
from analysis.folders import file_aside
from screens.base import NOTHING_STAGED, READONLY, WorkbenchScreen
from screens.chain import ChainScreen
from screens.change import ChangeScreen
from screens.chrome import TABS
from screens.colours import DARK, LIGHT
from screens.dialogs import Confirm, KeyList
from screens.heads import HeadsScreen
from screens.keys import Keys, shipped, unlisted
from screens.messages import (
    ChangesStaged,
    CopyRequested,
    HistoryRequested,
    ScreenRequested,
    VariantRequested,
)
from screens.neurons import NeuronsScreen
from screens.paper import PaperScreen
from screens.prompts import PromptsScreen
from screens.result import ResultScreen
from screens.sessions import SessionsScreen
from screens.text import lines
from screens.timeline import TimelineDialog
from screens.tokens import TokensScreen
from screens.workspace import Result, Workspace
from workbench.commands import RECENT, commands
from workbench.paths import config_file
from workbench.sharing.svg import portable
from workbench.terminal import kept

SCREENS = (
    PromptsScreen,
    HeadsScreen,
    NeuronsScreen,
    TokensScreen,
    ChainScreen,
    ChangeScreen,
    SessionsScreen,
    PaperScreen,
    ResultScreen,
)
SCREEN_OF_KIND = {kind: screen for screen in SCREENS for kind in (*screen.KINDS, *screen.BESIDE)}


def screen_of(kind: str) -> type[WorkbenchScreen]:
    """The screen that shows results of a kind: one of its own, or that of any result."""
    return SCREEN_OF_KIND.get(kind, ResultScreen)


AT_ONCE = 0.05
"""Seconds from one of two keys that came at once to the other."""
AFTER_ESCAPE = dict(zip("¡™£¢∞§¶•", "12345678", strict=True))
"""What Textual reads where a terminal sends escape and a digit at once: as a Mac's option key."""


class Desk(App[None]):
    """The workbench's screens, with nothing that computes or reads a disk."""

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
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            *(
                unlisted(key, f"visit('{name}')", label, id=f"app.{name}")
                for key, name, label in TABS
            ),
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

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace
        self._trail: list[str] = []
        self._recent: list[str] = []
        """Words of what was done from the list of keys, the latest first."""

    def _install(self, theme: str | None) -> None:
        """Make the screens, in a theme or the dark one where there is none of that name."""
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = theme if theme in self.available_themes else DARK.name
        for screen in SCREENS:
            self.install_screen(screen(self.workspace), screen.NAME)
        # The shell has written over everything; by itself only what has changed would be drawn.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        first = self.theme
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme, first))

    def _keep_theme(self, theme: Theme, first: str) -> None:
        """Say what keeps a theme; the program begins with one that is kept already."""
        if theme.name != first:
            self.notify(f'theme = "{theme.name}" in {config_file()} keeps it')

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Under NO_COLOR no colours at all; Textual would turn them to greys."""
        return [NoColor()] if self.no_color else super().get_line_filters()

    def set_keymap(self, keymap: Keymap) -> None:
        """Take keys of the user's own, in words that name them too."""
        super().set_keymap(keymap)
        self.workspace.keys = Keys(keymap)

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

    @property
    def _front(self) -> WorkbenchScreen | None:
        """The workbench screen in front, behind any dialog."""
        screens = [each for each in self.screen_stack if isinstance(each, WorkbenchScreen)]
        return screens[-1] if screens else None

    def _refresh(self) -> None:
        front = self._front
        # What comes in while the program ends finds screens that are being taken down.
        if front is None or not self.is_running:
            return
        front.refresh_all()
        if isinstance(self.screen, TimelineDialog):
            self.screen.refresh_all()

    def _look_again(self) -> None:
        """Bring the screens up to date with a disk that has changed."""
        self.get_screen("sessions", SessionsScreen).forget()
        self._refresh()

    def action_visit(self, name: str) -> None:
        """Show a screen; escape comes back."""
        front = self._front
        if front is None or name == front.NAME or self.screen is not front:
            return
        # A screen is on the way back once, however often it was visited.
        self._trail = [each for each in self._trail if each not in (name, front.NAME)]
        self._trail.append(front.NAME)
        self.switch_screen(name)

    async def action_back(self) -> None:
        """Stop what this screen is computing, or go back."""
        front = self._front
        if front is not None and front.stop_own():
            return
        if self._trail:
            self.switch_screen(self._trail.pop())

    def action_leave(self) -> None:
        """Go back to the screen before; from the first one, quit."""
        if self._trail:
            self.switch_screen(self._trail.pop())
        else:
            self._quit()

    def action_help_quit(self) -> None:
        """Say how to leave to whoever tries with ctrl+c."""
        self.notify("<app.quit> quits, <app.back-stop> stops what runs here or goes back.")

    async def action_quit(self) -> None:
        """Quit, asking when something is running."""
        self._quit()

    def _quit(self) -> None:
        question, hint = self._doubts()
        if question is None:
            self.exit()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.exit()

        self.push_screen(Confirm(question, hint), answered)

    async def on_event(self, event: Event) -> None:
        """Take escape and a letter or digit that come at once for these two keys."""
        key = self._after_escape(event) if isinstance(event, Key) else None
        if key is None:
            await super().on_event(event)
            return
        self.simulate_key("escape")
        self.set_timer(AT_ONCE, partial(self.simulate_key, key))  # once a dialog is closed

    def _after_escape(self, event: Key) -> str | None:
        """The letter or digit that came with escape; None: it is a key like all others."""
        char = event.character or ""
        if event.is_forwarded or event.key in self.screen.active_bindings:
            return None
        if event.key.startswith("alt+") and len(char) == 1:
            return char
        return None if isinstance(self.focused, Input) else AFTER_ESCAPE.get(char)

    def _doubts(self) -> tuple[str | None, str]:
        """What would be lost by leaving, as a question and a hint; None: nothing."""
        if self.workspace.running is not None:
            hint = "What is finished is kept; workbench resume goes on with it."
            return "A step is running. Quit?", hint
        if self.workspace.staged.unsaved:
            staged = self.workspace.staged.changes
            write = self.workspace.keys.fill("<change.write> on <app.change> writes them.")
            return "Staged changes are not exported. Quit?", f"Staged: {staged}. {write}"
        return None, ""

    def action_keys(self) -> None:
        """List what can be done here with its keys, to search and to do."""
        front = self._front
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
        title = next(
            (f"{key(f'app.{name}')} {label}" for _, name, label in TABS if name == front.NAME),
            "Result",
        )
        self.push_screen(KeyList(f"Keys · {title}", [each.shown for each in offered]), chosen)

    def action_picture(self) -> None:
        """Save the screen, without notices, as an SVG in the working folder."""
        if self._front is not None:
            self.clear_notifications()
            self.call_after_refresh(self._save_picture, self._front)

    def _save_picture(self, front: WorkbenchScreen) -> None:
        file = Path.cwd() / f"workbench-{front.NAME}-{datetime.now():%Y%m%d-%H%M%S}.svg"
        picture = portable(self.export_screenshot(title=front.NAME), front.NAME)
        try:
            with file_aside(file) as aside:
                aside.write_text(picture, "utf-8")
        except WorkbenchError as error:
            self.notify(str(error), severity="error", markup=False)
        else:
            self.notify(f"Saved {file.name} in {file.parent}", markup=False)

    def action_guide(self) -> None:
        """Lead the way from a prompt to a neuron's tokens, or stop leading."""
        self.workspace.guided = not self.workspace.guided
        if not self.workspace.guided:
            self.notify("<app.guide> brings the guide back.")
        self._refresh()

    def on_screen_requested(self, event: ScreenRequested) -> None:
        """Follow a pivot."""
        if event.result_id is not None and (found := self.workspace.find(event.result_id)):
            self.workspace.show(found, event.name)
        self.action_visit(event.name)

    def on_copy_requested(self, event: CopyRequested) -> None:
        """Put text on the terminal's clipboard, and into a file where OSC 52 does not reach."""
        self.copy_to_clipboard(event.text)
        self.notify(f"Copied {event.what}{kept(event.text)}", markup=False)

    def _present(self, result: Result, stay: bool = False) -> None:
        self._show(result)
        if not stay:
            self.action_visit(screen_of(result.step.kind).NAME)
        self._refresh()

    def _show(self, result: Result) -> None:
        """Make a result the one its screen shows, instead of others that compete for it."""
        kind = result.step.kind
        kinds = screen_of(kind).KINDS
        self.workspace.show(result, *(kinds if kind in kinds else (kind,)), ResultScreen.NAME)

    # Staging changes

    def on_changes_staged(self, event: ChangesStaged) -> None:
        """Stage changes; the model itself stays as it is."""
        if self.workspace.readonly:
            self.notify(READONLY, severity="warning")
            return
        self.workspace.staged.put(event.changes)
        self.notify(event.words, markup=False)
        self._refresh()

    def on_history_requested(self, event: HistoryRequested) -> None:
        """Undo or redo."""
        if not self.workspace.staged.go(event.by):
            self.notify(
                "There is nothing to undo." if event.by < 0 else "There is nothing to redo."
            )
        self._refresh()

    def on_variant_requested(self, event: VariantRequested) -> None:
        """Let every analysis run on the staged variant, or on the model as it is."""
        staged = self.workspace.staged
        if not staged.changes:
            self.notify(NOTHING_STAGED)
            return
        staged.in_use = not staged.in_use
        on = f"with {staged.changes}" if staged.in_use else "on the model as it is"
        self.notify(f"Every analysis now runs {on}.", markup=False)
        self._refresh()
