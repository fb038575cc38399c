"""Words that name keys name the keys in force, whatever the user has chosen."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hands import Idle, workspace_of_all
from key_effects import bound_to
from piloting import Driver
from replays import unmeasured
from textual.widgets import Static

import screens
import workbench
from screens.keys import Keys
from screens.widgets.lines import ProgressLine
from screens.workspace import Workspace
from sessions import Session
from workbench.keymap import actions, keymap
from workbench.roster import SCREENS

ROOMS = [Path(room.__path__[0]) for room in (screens, workbench)]
LETTERS = [*map(chr, range(0x0410, 0x0450)), *map(chr, range(0x0561, 0x0587))]
LETTERS += [*map(chr, range(0x10D0, 0x10F6)), *map(chr, range(0x0531, 0x0557))]
LETTERS += map(chr, range(0xAC00, 0xAC80))
"""Keys that nothing ships on, one for each action."""
OTHERS = {each.id: letter for each, letter in zip(actions(), LETTERS, strict=False)}
KEY = r"(?:[b-zA-Z?]|esc|enter|space|tab|ctrl\+\w)"
STALE = re.compile(
    rf"[Pp]ress (?:{KEY}|[a1-8])\b|(?:screen|on) [1-8]\b(?! of| layers)"
    rf"|(?<![\w'\"(.=|%\\−-]){KEY} +(?:[a-z]+s|for|first|there|then|through|to|what)\b"
    r"|(?<![\w])a +(?:finds|then|ablates|compares|zeroes)\b|\bwith (?:esc|space)\b"
)
"""A key that ships, named in words."""
FIXED = {
    *("dialogs.py", "form.py", "help_page.py", "overlays.py", "timeline.py"),
    *("case_form.py", "costs.py", "notice_list.py", "task_field.py"),
}
"""Modules of dialogs, whose few keys are always the same."""


def words_of(source: Path):
    """The texts in a module, without its docstrings; joined pieces of one text are one text."""
    tree = ast.parse(source.read_text("utf-8"))
    plain = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant) and isinstance(each.value, str) and id(each) not in plain:
            yield each.value


SOURCES = [
    each
    for room in ROOMS
    for each in room.rglob("*.py")
    if "cli" not in each.relative_to(room).parts
]


@pytest.mark.parametrize(
    "words",
    [
        "Press r to sweep them",
        "Mark heads with space first",
        "; a then ablates",
        "6 shows what is, on 6",
        "T lists the steps",
        "esc stops",
        "c goes on live",
        "choose a head on screen 2",
        "press 7.",
    ],
)
def test_a_key_named_in_words_is_found(words):
    assert STALE.search(words)


def test_no_words_of_a_screen_name_a_key_that_the_user_may_have_changed():
    found = {
        (source.name, words)
        for source in SOURCES
        if source.name not in FIXED
        for words in words_of(source)
        if STALE.search(words)
    }
    assert found == set()


def test_every_action_named_in_words_exists():
    known, named = {each.id for each in actions()}, set()
    for source in SOURCES:
        for words in words_of(source):
            named |= {*re.findall(r"<([a-z]+\.[a-z0-9-]+)>", words)}
    assert len(named) > 30
    assert named <= known


def test_keys_are_written_as_one_says_them():
    keys = Keys({"heads.sweep": "ctrl+r,f5", "app.keys": "?", "heads.mark": "left_square_bracket"})
    words = "<heads.sweep> <app.keys> <heads.mark> <heads.its-neurons> <app.guide> <app.back-stop>"
    assert keys.fill(words) == "ctrl+r ? [ enter ctrl+g esc"
    assert keys.of("heads.sweep") == ("ctrl+r", "f5")
    assert keys.fill("<s> <|im_end|> <a.b> {heads.sweep}") == "<s> <|im_end|> <a.b> {heads.sweep}"


def empty(readonly: bool) -> Workspace:
    workspace = unmeasured(readonly=readonly, guided=True)
    workspace.model = Session.open("example:addition").info.model
    return workspace


def shown(user: Driver) -> str:
    """All words on the screen in front that are no numbers."""
    parts = [str(each.content) for each in user.screen.query(Static) if each.display]
    return "\n".join([*parts, user.line(ProgressLine)])


class Watched(Driver):
    @property
    def screen(self):
        return self.app.screen

    def footer(self) -> set[str]:
        shown = [each for each in self.screen.active_bindings.values() if each.binding.show]
        return {self.app.get_key_display(each.binding) for each in shown}


@pytest.mark.parametrize("state", ["empty", "read-only", "results", "replay"])
async def test_with_every_key_changed_no_screen_and_no_notice_names_an_old_one(
    state, sessions_folder
):
    if state in ("results", "replay"):
        workspace = workspace_of_all()
        workspace.replaying, workspace.guided = state == "replay", True
    else:
        workspace = empty(state == "read-only")
    app = Idle(workspace)
    app.set_keymap(keymap(OTHERS))
    async with app.run_test() as pilot:
        user = Watched(app, pilot)
        await pilot.pause()
        for each in SCREENS:
            app.switch_screen(each.NAME)
            await pilot.pause()
            assert not STALE.search(shown(user)), each.NAME
            assert user.footer() <= {*OTHERS.values()}
            before = len(app.told)
            refusable = [own for own in bound_to(user.screen) if own.id in OTHERS]
            refusals = {user.screen.refusal(own.action.partition("(")[0]) for own in refusable}
            for reason in refusals - {None}:
                app.notify(reason)
            assert not [words for words in app.told[before:] if STALE.search(words)]


async def test_the_guide_the_tabs_and_a_refusal_say_the_new_keys(sessions_folder):
    app = Idle(empty(False))
    app.set_keymap(
        keymap(
            {
                "prompts.sweep-heads": "f5",
                "app.heads": "f2",
                "heads.mark": "m",
                "heads.metric": "f3",
            }
        )
    )
    async with app.run_test(size=(100, 30)) as pilot:
        user = Watched(app, pilot)
        await pilot.pause()
        assert "f5 zeroes every attention head" in shown(user)
        assert "f2 Heads" in shown(user)
        await user.press("f2", "a")
        assert "Mark heads with m first; a ablates them together." in app.told


async def test_in_a_replay_the_new_key_says_why_and_the_old_one_says_nothing(sessions_folder):
    app = Idle(workspace_of_all())
    app.set_keymap(keymap({"heads.sweep": "f5", "replay.live": "f8"}))
    async with app.run_test() as pilot:
        user = Watched(app, pilot)
        await pilot.pause()
        await user.press("2", "r")
        assert app.told == []
        await user.press("f5")
        assert app.told == ["This is a replay. Press f8 to continue it live."]
