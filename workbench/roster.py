"""The screens there are, and the keys that work on all of them."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from screens.attention import AttentionScreen
from screens.base import WorkbenchScreen
from screens.chain import ChainScreen
from screens.change import ChangeScreen
from screens.chrome import TABS
from screens.corpus import CorpusScreen
from screens.direct import DirectScreen
from screens.heads import HeadsScreen
from screens.keys import shipped, unlisted
from screens.neurons import NeuronsScreen
from screens.own_keys import KeysScreen
from screens.paper import PaperScreen
from screens.patch import PatchScreen
from screens.prompts import PromptsScreen
from screens.result import ResultScreen
from screens.sessions import SessionsScreen
from screens.settings import SettingsScreen
from screens.tokens import TokensScreen

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
    CorpusScreen,
    AttentionScreen,
    DirectScreen,
    ResultScreen,
    SettingsScreen,
    KeysScreen,
)
EVERYWHERE: list[BindingType] = shipped(
    [
        *(unlisted(key, f"visit('{name}')", label, id=f"app.{name}") for key, name, label in TABS),
        unlisted("escape", "back", "Undo the nearest / back", id="app.back-stop"),
        unlisted("q", "leave", "Back, then quit", id="app.back-then-quit"),
        unlisted("Q", "quit", "Quit", id="app.quit"),
        Binding("question_mark", "keys", "Keys", id="app.keys"),
        unlisted("colon,ctrl+p", "find", "Find anything", id="app.find"),
        unlisted("p,P", "picture", "Picture of the screen", id="app.picture-of-the-screen"),
        unlisted("exclamation_mark", "screen.notices", "Notices", id="app.notices"),
        unlisted("ctrl+g", "guide", "Guide", id="app.guide"),
        unlisted("comma", "visit('settings')", "Settings", id="app.settings"),
        unlisted("ctrl+t", "change_theme", "Theme", id="app.theme"),
        unlisted("ctrl+z", "suspend_process", "Suspend", id="app.suspend"),
    ],
)


def screen_for(kind: str) -> type[WorkbenchScreen]:
    """The screen that shows the steps of a kind: its own, or the one of all kinds without one."""
    own = (each for each in SCREENS if kind in (*each.KINDS, *each.BESIDE))
    return next(own, ResultScreen)
