"""Every key on every screen does what the line of keys and the list of keys say it does."""

from __future__ import annotations

from collections import Counter

import pytest
from hands import (
    Act,
    hands,
    says,
    staged,
)
from key_effects import BOUND, EFFECTS, OWN, bound_to
from textual._xterm_parser import XTermParser
from textual.binding import Binding
from textual.events import Key
from textual.widgets import Input

from screens.widgets.frame_table import FrameTable

PLACES = {
    "prompts": {"table": "", "strip": "", "TaskField": "t", "CaseForm": "n"},
    "heads": {
        "map": "",
        "Ask": "slash",
        "Weigh": "r",
        "Finder": "question_mark",
        "TimelineDialog": "T",
        "HelpPage": "colon s s h enter",
    },
    "neurons": {"FilterInput": "slash", "NoticeList": "exclamation_mark"},
    "tokens": {},
    "chain": {"drawing": ""},
    "change": {"Confirm": "D", "Form": "a"},
    "sessions": {"rows": ""},
    "paper": {},
    "patch": {},
    "corpus": {},
    "attention": {"text": "", "pattern": "tab"},
    "direct": {},
    "result": {"positions": ""},
    "settings": {"ThemeChoice": "ctrl+t", "ValueLine": ""},
    "keys": {},
}
"""Screens, with the widgets and dialogs whose keys are pressed there, and what opens them."""
SHADOWED = {
    "table.open": {
        "neurons",
        "sessions",
        "settings",
        "keys",
        "patch",
        "corpus",
        "attention",
        "direct",
    },
    "map.open": {"heads", "patch", "attention", "corpus", "direct"},
    "drawing.open": {"chain"},
    "attention.head-before": {"attention"},  # a map has its arrows for itself
    "attention.head-after": {"attention"},
    "rows.sort-by-the-next-column": {"neurons"},
    "app.picture-of-the-screen": {"change", "patch"},
    "replay.play": {"heads", "neurons", "chain"},
    "replay.note-on-the-step": {"sessions"},
    "replay.steps": {"sessions"},
    "Form.app.focus_next": {"change"},
    "Form.app.focus_previous": {"change"},
}
"""Screens that have another action on one of the keys, which then does the same or is meant.

A line to type gives `up` and `down` back, because it cannot scroll that way."""


def scope(name):
    return name.partition(".")[0]


def pressed(*scopes):
    """Names, keys and what they do, of the bindings of some scopes."""
    for name, (_, bindings) in BOUND.items():
        if scope(name) in scopes:
            acts = EFFECTS[name]
            for each in bindings:
                for act in acts if isinstance(acts, tuple) else (acts,):
                    yield name, each, act


def test_every_binding_has_an_effect_that_is_known():
    assert set(BOUND) == set(EFFECTS)
    placed = [each for screen, others in PLACES.items() for each in (screen, *others)]
    assert {scope(name) for name in BOUND} == {*placed, "app", "replay"}


def test_every_key_that_is_shown_says_what_it_does():
    for name, (_, bindings) in BOUND.items():
        for each in bindings:
            assert each.description or not each.show, name
            assert each.description or each.id is None, name


@pytest.mark.parametrize("screen", PLACES)
async def test_a_key_does_what_it_says(screen, sessions_folder):
    async with hands() as user:
        for place, opener in ({screen: ""} | PLACES[screen]).items():
            focus = {"strip": "TokenStrip", "positions": "PositionMap"}.get(place, "")
            for name, each, act in pressed(place):
                await user.begin(screen, replaying=False, focus=focus, given=act.given)
                await user.press(*opener.split())
                await user.press(*act.first)
                if screen not in SHADOWED.get(name, ()):
                    assert user.offered(each.key) == (name if act.offered else None)
                assert await user.does(each.key, act), f"{each.key} does not do {name}"


@pytest.mark.parametrize("screen", PLACES)
async def test_in_a_replay_a_key_works_as_ever_or_says_why_it_does_not(screen, sessions_folder):
    reason = "This is a replay. Press c to continue it live."
    async with hands() as user:
        await user.begin(screen, replaying=True)
        refused = [each for name, each, _ in pressed(screen) if _action(each) in OWN[screen].LIVE]
        for each in refused:
            assert user.offered(each.key) not in (each.id, "app.picture-of-the-screen")
            assert await user.does(each.key, Act(says(reason))), each.id
        for name, each, act in pressed(screen):
            if each in refused:
                continue
            await user.begin(screen, replaying=True, given=act.given)
            await user.press(*act.first)
            if _action(each) == "mark":  # space plays
                assert user.offered(each.key) == "replay.play"
            else:
                assert user.offered(each.key) == (name if act.offered else None)
                assert await user.does(each.key, act), f"{each.key} does not do {name}"


def _action(binding):
    return binding.action.partition("(")[0]


@pytest.mark.parametrize("replaying", [False, True], ids=["live", "in a replay"])
async def test_a_key_of_the_program_does_what_it_says(
    replaying, sessions_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    async with hands() as user:
        for name, each, act in pressed("app", *(["replay"] if replaying else [])):
            await user.begin("prompts" if name == "app.tokens" else "tokens", replaying=replaying)
            await user.press(*act.first)
            assert await user.does(each.key, act), f"{each.key} does not do {name}"


async def test_a_key_of_the_program_means_the_same_on_every_screen(sessions_folder):
    async with hands() as user:
        for screen in PLACES:
            own = {each.key for _, each, _ in pressed(screen)}
            for replaying, scopes in ((False, ["app"]), (True, ["app", "replay"])):
                await user.begin(screen, replaying=replaying)
                refused = {
                    each.key for _, each, _ in pressed(screen) if user.screen.refusal(_action(each))
                }
                for name, each, _ in pressed(*scopes):
                    if screen not in SHADOWED.get(name, ()) or each.key not in own:
                        assert user.offered(each.key) == name, screen
                        assert each.key not in refused


def test_no_two_bindings_of_a_screen_or_widget_share_a_key():
    for owner in dict.fromkeys(owner for owner, _ in BOUND.values()):
        keys = [each.key for each in Binding.make_bindings(vars(owner)["BINDINGS"])]
        assert [key for key, count in Counter(keys).items() if count > 1] == [], owner


async def test_a_key_has_two_meanings_only_where_that_is_meant(sessions_folder):
    async with hands() as user:
        for screen in PLACES:
            await user.begin(screen, replaying=True)
            for widget in user.screen.query(
                "FrameTable, CellMap, ChainView, TokenStrip, PromptText"
            ):
                meanings = [
                    (each.key, each.id)
                    for one in (widget, user.screen, user.app)
                    for each in bound_to(one)
                    if each.id and screen not in SHADOWED.get(each.id, ())
                ]
                counts = Counter(key for key, _ in meanings)
                assert not [each for each in meanings if counts[each[0]] > 1], screen


async def test_arrows_and_letters_move_the_cursor_of_every_table(sessions_folder):
    found = []
    async with hands() as user:
        for screen in PLACES:
            await user.begin(screen, replaying=False, given=staged)
            for table in user.screen.query(FrameTable):
                if not table.is_on_screen or table.shown < 4:
                    continue
                found.append(table.id)
                table.focus()
                for keys, place in (
                    ("Gk", -2),
                    ("gjj", 2),
                    (("end", "up"), -2),
                    (("home", "down"), 1),
                ):
                    await user.press(*keys)
                    assert table.cursor == place % table.shown, (screen, table.id)
    assert {"cases", "neurons", "top", "bottom", "measures", "sessions", "tables"} <= {*found}


@pytest.mark.parametrize(
    ("opener", "sent", "place"),
    [
        ("", "\x1b3", "neurons"),
        ("", "\x1bT", "TimelineDialog"),
        ("", "\x1b?", "KeyList"),
        ("T", "\x1b3", "neurons"),
        ("slash", "\x1b7", "sessions"),
        ("slash", "\x1b/", "Ask"),
        ("slash", "\x1b36", "change"),  # and what is typed behind them comes after them
    ],
)
async def test_escape_and_a_key_at_once_are_both_taken(opener, sent, place, sessions_folder):
    async with hands() as user:
        await user.begin("prompts", replaying=False)
        await user.press("2", *filter(None, [opener]))
        for event in XTermParser().feed(sent):  # as a terminal writes both keys
            user.app.post_message(event)
        await user.until(lambda: user.here == place)
        # On a screen escape went back to the first; in a dialog it closed that.
        await user.press("escape")
        back = {"change": "neurons"}.get(place, "heads" if opener else "prompts")
        assert user.here == back


async def test_an_odd_sign_is_typed_where_one_types(sessions_folder):
    async with hands() as user:
        await user.begin("heads", replaying=False)
        await user.press("slash")
        user.app.post_message(Key("pound_sign", "£"))
        await user.pilot.pause()
        assert user.screen.query_one(Input).value == "£"
