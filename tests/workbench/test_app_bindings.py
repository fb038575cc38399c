"""Every key on every screen does what the line of keys and the list of keys say it does."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter

import pytest
from hands import (
    Act,
    asks,
    becomes,
    goes,
    hands,
    in_state,
    moves,
    opens,
    posts,
    says,
    staged,
    turns,
)
from textual._xterm_parser import XTermParser
from textual.binding import Binding
from textual.constants import ESCAPE_DELAY
from textual.dom import DOMNode
from textual.events import Key
from textual.widgets import Input, OptionList

import screens
import workbench
from analysis.paper.registry import TABLES
from analysis.refs import HeadRef
from screens.messages import (
    ChangesStaged,
    CopyRequested,
    NoteRequested,
    ResumeRequested,
    SessionChosen,
    StepRequested,
    StopRequested,
)
from screens.tabs import TABS
from screens.widgets.chain_view import ChainView
from screens.widgets.filter_input import FilterInput
from screens.widgets.frame_table import FrameTable
from screens.widgets.head_map import HeadMap
from screens.widgets.token_strip import TokenStrip
from workbench.desk import SCREENS


def classes(of=DOMNode):
    """All widgets, screens and apps of the workbench."""
    for each in of.__subclasses__():
        yield each
        yield from classes(each)


def every_binding() -> dict[str, tuple[type, list[Binding]]]:
    """The bindings of all classes by name, found in the classes themselves."""
    for room in (screens, workbench):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: dict[str, tuple[type, list[Binding]]] = {}
    for owner in dict.fromkeys(classes()):
        if owner.__module__.startswith(("screens.", "workbench.")) and "BINDINGS" in vars(owner):
            for each in Binding.make_bindings(vars(owner)["BINDINGS"]):
                name = each.id or f"{owner.__name__}.{each.action}"
                found.setdefault(name, (owner, []))[1].append(each)
    return found


BOUND = every_binding()
OWN = {each.NAME: each for each in SCREENS}


def the(widget):
    """A widget of the screen in front."""
    return lambda user: user.screen.query_one(widget)


def at(selector):
    """The row under the cursor of a table."""
    return lambda user: user.screen.query_one(selector, FrameTable).cursor


def seen_as(name):
    """A part of how the result in front is looked at."""
    return lambda user: user.screen.view()[name]


def chain_goes(step):
    """The cursor of the drawing goes where a step from it leads."""

    def effect(user):
        view = user.screen.query_one(ChainView)
        wanted = step(view, view.cursor)
        return lambda: view.cursor == wanted

    return effect


def beside(by):
    """The node so many places further down in its stage."""
    return lambda view, name: view._column()[view._column().index(name) + by]


def head(part):
    return lambda user: getattr(user.screen.query_one(HeadMap).cursor, part)


def parts(user):
    return len(user.workspace.staged.changes)


def focused(user):
    return user.app.focused.id


def highlighted(user):
    return user.screen.query_one(OptionList).highlighted


def cases(user):
    return user.screen.query_one("#cases", FrameTable)


def order(place):
    """The table is sorted by the column at that place."""
    names = ("number", "prompt", "answer", "group")
    return becomes(lambda user: cases(user).sorted_by, names[place])


FILTER = Act(becomes(lambda user: user.screen.query_one(FilterInput).is_open, True))
STAGED = Act(posts(ChangesStaged, lambda user, message: len(message.changes)))
CLOSED = Act(goes("heads"))
NO = Act(lambda user: lambda: user.here == "change" and parts(user) == 1, given=staged)


def requests(user):
    return sum(isinstance(each, StepRequested) for each in user.messages)


def step_of(user):
    return user.workspace.replay_place


def undone(workspace):
    staged(workspace)
    workspace.staged.go(-1)


EFFECTS: dict[str, Act | tuple[Act, ...]] = {
    **{f"app.{name}": Act(goes(name)) for _, name, _ in TABS},
    "app.back-stop": Act(becomes(lambda user: len(user.app._trail), 0)),
    "app.back-then-quit": Act(becomes(lambda user: len(user.app._trail), 0)),
    "app.quit": Act(moves(lambda user: user.app.left, 1)),
    "app.keys": Act(opens("KeyList", "Keys")),
    "app.picture-of-the-screen": Act(says("Saved workbench-")),
    "app.guide": Act(becomes(lambda user: user.workspace.guided, True)),
    "app.theme": Act(goes("CommandPalette")),
    "app.suspend": Act(moves(lambda user: user.app.suspended, 1)),
    "replay.step-before": Act(becomes(step_of, 0)),
    "replay.next-step": Act(becomes(step_of, 2)),
    "replay.first-step": Act(becomes(step_of, 0)),
    "replay.last-step": Act(lambda user: lambda: step_of(user) == len(user.workspace.results) - 1),
    "replay.play": Act(becomes(lambda user: user.workspace.playing, True)),
    "replay.steps": Act(goes("TimelineDialog")),
    "replay.note-on-the-step": Act(opens("Ask", "Note on 002-cna")),
    "replay.live": Act(becomes(lambda user: user.workspace.replaying, False)),
    "rows.sort-by-the-next-column": Act(
        becomes(lambda user: user.screen.query_one("#sessions", FrameTable).sorted_by, "name")
    ),
    "rows.reverse-the-order": Act(
        turns(lambda user: user.screen.query_one("#sessions", FrameTable).descending), ("s",)
    ),
    "rows.copy-the-row": Act(posts(CopyRequested, lambda user, m: m.what == "the row")),
    "rows.copy-all-rows": Act(posts(CopyRequested, lambda user, m: m.what.endswith(" rows"))),
    "table.row-above": Act(moves(at("#cases"), -1), ("down", "down")),
    "table.row-below": Act(moves(at("#cases"), 1)),
    "table.page-up": Act(becomes(at("#cases"), 0), ("pagedown",)),
    "table.page-down": Act(lambda user: lambda: 1 < at("#cases")(user) < 35),
    "table.first-row": Act(becomes(at("#cases"), 0), ("down",)),
    "table.last-row": Act(becomes(at("#cases"), 35)),
    "table.sort-by-the-next-column": (Act(order(0)), Act(order(1), ("right",))),
    "table.sort-by-the-column-before": (Act(order(3)), Act(order(2), ("left",))),
    "table.open": Act(asks("heads")),
    "map.layer-before": Act(moves(head("layer"), -1), ("right", "right")),
    "map.layer-after": Act(moves(head("layer"), 1)),
    "map.head-above": Act(moves(head("index"), -1), ("down", "down")),
    "map.head-below": Act(moves(head("index"), 1)),
    "map.eight-heads-up": Act(moves(head("index"), -8), ("pagedown",)),
    "map.eight-heads-down": Act(moves(head("index"), 8)),
    "map.first-layer": Act(becomes(head("layer"), 0), ("right",)),
    "map.last-layer": Act(becomes(head("layer"), 29)),
    "map.first-head": Act(becomes(lambda user: the(HeadMap)(user).cursor, HeadRef(0, 0)), ("G",)),
    "map.last-head": Act(becomes(lambda user: the(HeadMap)(user).cursor, HeadRef(29, 8))),
    "map.open": Act(asks("cna")),
    "drawing.what-feeds-it-most": Act(
        chain_goes(lambda view, name: view._graph.back(name)), ("right",)
    ),
    "drawing.what-it-feeds-most": Act(chain_goes(lambda view, name: view._graph.onwards(name))),
    "drawing.node-above": Act(chain_goes(beside(-1)), ("left", "G")),
    "drawing.node-below": Act(chain_goes(beside(1)), ("left", "g")),
    "drawing.first-node-of-the-stage": Act(
        chain_goes(lambda view, name: view._column()[0]), ("left", "G")
    ),
    "drawing.last-node-of-the-stage": Act(
        chain_goes(lambda view, name: view._column()[-1]), ("left", "g")
    ),
    "drawing.open": Act(asks("project")),
    "strip.up": Act(moves(lambda user: the(TokenStrip)(user).scroll_target_y, -1), ("j", "j")),
    "strip.down": Act(moves(lambda user: the(TokenStrip)(user).scroll_target_y, 1), ("g",)),
    "strip.start": Act(becomes(lambda user: the(TokenStrip)(user).scroll_target_y, 0), ("j",)),
    "strip.end": Act(
        lambda user: (
            lambda: 0 < the(TokenStrip)(user).max_scroll_y == the(TokenStrip)(user).scroll_target_y
        ),
        ("g",),
    ),
    "prompts.sweep-heads": Act(asks("heads", lambda user, step: len(step.prompts) == 36)),
    "prompts.importance": Act(asks("neurons")),
    "prompts.new-prompt": Act(
        lambda user: lambda: user.here == "Ask" and user.screen.query_one(Input).value == ""
    ),
    "prompts.edit": Act(
        lambda user: lambda: user.here == "Ask" and user.screen.query_one(Input).value != ""
    ),
    "prompts.task": Act(opens("Choose", "Task")),
    "prompts.more-shots": Act(moves(lambda user: user.screen.shots, 1), ("minus",)),
    "prompts.fewer-shots": Act(moves(lambda user: user.screen.shots, -1), ("plus",)),
    "prompts.filter": FILTER,
    "heads.sweep": Act(asks("heads", lambda user, step: step.mode == "zero")),
    "heads.its-neurons": Act(
        asks("cna", lambda user, step: step.ablate.heads == (the(HeadMap)(user).cursor,))
    ),
    "heads.metric": Act(becomes(seen_as("metric"), "accuracy")),
    "heads.operation": Act(says("all of one operation")),
    "heads.top-head": Act(becomes(seen_as("cursor"), "L20H8")),
    "heads.mark": Act(becomes(lambda user: len(seen_as("marked")(user)), 1)),
    "heads.ablate-marked": (
        Act(asks("ablate", lambda user, step: len(step.sets[0].heads) == 1), ("space",)),
        Act(says("Mark heads with space first; a ablates them together.")),
    ),
    "heads.stage-a-change": STAGED,
    "heads.zero-mean-ablation": Act(asks("heads", lambda user, step: step.mode == "mean")),
    "heads.its-chain": Act(asks("chain", lambda user, step: str(step.head) == "L20H8"), ("b",)),
    "heads.find-a-head": Act(opens("Ask", "Head")),
    "neurons.read": Act(asks("project", lambda user, step: step.source == user.table.current_key)),
    "neurons.sort": Act(turns(lambda user: user.table.sorted_by)),
    "neurons.filter": FILTER,
    "neurons.mark": Act(becomes(lambda user: len(user.table.marked), 1)),
    "neurons.ablate": (
        Act(asks("cna", lambda user, step: len(step.ablate.neurons) == 1), ("space",)),
        Act(says("Mark neurons with space first; a compares")),
    ),
    "neurons.stage-a-change": STAGED,
    "neurons.ablate-marked-on-all-prompts": Act(
        asks("ablate", lambda user, step: len(step.sets[0].neurons) == 1), ("space",)
    ),
    "neurons.importance": Act(asks("neurons")),
    "neurons.hidden": Act(asks("hidden")),
    "neurons.all-exact": Act(asks("cna", lambda user, step: step.top is None)),
    "neurons.resume": Act(posts(ResumeRequested), given=in_state("cna", "stopped")),
    "tokens.through": Act(opens("Ask", "Attention layer")),
    "tokens.value-run": Act(
        asks("project", lambda user, step: step.prompt != user.result.step.prompt)
    ),
    "tokens.read-another": Act(opens("Ask", "What to read")),
    "tokens.lens": Act(asks("lens")),
    "tokens.gains": Act(asks("gains")),
    "tokens.other-end": Act(becomes(focused, "bottom")),
    "chain.chain": Act(asks("chain")),
    "chain.its-tokens": Act(asks("project", lambda user, step: step.source == "L20H8")),
    "chain.zero-the-node": Act(becomes(seen_as("zeroed"), True)),
    "chain.mark": Act(becomes(lambda user: len(seen_as("marked")(user)), 1)),
    "chain.ablate-marked": (
        Act(asks("ablate"), ("space",)),
        Act(says("Mark nodes with space first; a then zeroes")),
    ),
    "chain.stage-a-change": STAGED,
    "change.pairs": Act(opens("Form", "tell pairs of prompts apart")),
    "change.lora": Act(opens("Form", "Train LoRA")),
    "change.prune": Act(opens("Form", "Prune the FFN")),
    "change.stage": STAGED,
    "change.measure": Act(asks("evaluate", lambda user, step: str(step.edit) != ""), given=staged),
    "change.undo": Act(becomes(parts, 0), given=staged),
    "change.redo": Act(becomes(parts, 1), given=undone),
    "change.factor": Act(opens("Ask", "Scale L20H8"), given=staged),
    "change.drop": Act(becomes(parts, 0), given=staged),
    "change.drop-all": Act(opens("Confirm", "Drop all staged changes?"), given=staged),
    "change.use": Act(becomes(lambda user: user.workspace.staged.in_use, True), given=staged),
    "change.cna": Act(asks("cna", lambda user, step: "L20H8" in str(step.ablate)), given=staged),
    "change.write": Act(opens("Form", "Write the changed model"), given=staged),
    "change.resume": Act(posts(ResumeRequested), given=in_state("lora", "stopped")),
    "change.measures": Act(becomes(focused, "measures"), given=staged),
    "change.filter": FILTER,
    "sessions.replay": Act(posts(SessionChosen, lambda user, message: message.step is None)),
    "sessions.steps": Act(becomes(focused, "timeline")),
    "sessions.note": Act(opens("Ask", "Note on session ch")),
    "sessions.rename": Act(opens("Ask", "New name of session ch")),
    "sessions.delete": Act(opens("Confirm", "Delete session ch")),
    "sessions.steps-at-hand": Act(goes("TimelineDialog")),
    "sessions.filter": FILTER,
    "paper.measure": Act(asks("table")),
    "paper.measure-all": Act(moves(requests, len(TABLES))),
    "paper.small-full": Act(turns(lambda user: user.screen.scale)),
    "paper.cells": Act(becomes(focused, "cells")),
    "paper.filter": FILTER,
    "Ask.dismiss(None)": CLOSED,
    "Choose.dismiss(None)": Act(goes("prompts")),
    "Choose.down": Act(moves(highlighted, 1)),
    "Choose.up": Act(moves(highlighted, -1), ("j", "j")),
    "Confirm.dismiss(True)": Act(becomes(parts, 0), given=staged),
    "Confirm.dismiss(False)": NO,
    "Form.dismiss(None)": Act(goes("change")),
    "Form.app.focus_next": Act(becomes(lambda user: user.app.focused.name, "neurons")),
    "Form.app.focus_previous": Act(becomes(lambda user: user.app.focused.name, "pairs"), ("down",)),
    "KeyList.dismiss(None)": CLOSED,
    "KeyList.move('cursor_down')": Act(moves(highlighted, 1)),
    "KeyList.move('cursor_up')": Act(moves(highlighted, -1), ("down", "down")),
    "KeyList.move('page_down')": Act(lambda user: lambda: highlighted(user) > 3),
    "KeyList.move('page_up')": Act(becomes(highlighted, 0), ("pagedown",)),
    "TimelineDialog.dismiss": CLOSED,
    "TimelineDialog.note": Act(posts(NoteRequested)),
    "TimelineDialog.stop": Act(posts(StopRequested), given=in_state("table", "running")),
    "TimelineDialog.resume": Act(posts(ResumeRequested), given=in_state("table", "stopped")),
    "FilterInput.cancel": Act(
        becomes(lambda user: user.screen.query_one(FilterInput).is_open, False)
    ),
}
"""What every binding does, by the action's name: of one without a name, its class and call."""

PLACES = {
    "prompts": {"table": "", "strip": "", "Choose": "t"},
    "heads": {"map": "", "Ask": "slash", "KeyList": "question_mark", "TimelineDialog": "T"},
    "neurons": {"FilterInput": "slash"},
    "tokens": {},
    "chain": {"drawing": ""},
    "change": {"Confirm": "D", "Form": "a"},
    "sessions": {"rows": ""},
    "paper": {},
}
"""Screens, with the widgets and dialogs whose keys are pressed there, and what opens them."""
SHADOWED = {
    "table.open": {"neurons", "sessions"},
    "map.open": {"heads"},
    "drawing.open": {"chain"},
    "rows.sort-by-the-next-column": {"neurons"},
    "app.picture-of-the-screen": {"change"},
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
            focus = {"strip": "TokenStrip"}.get(place, "")
            for name, each, act in pressed(place):
                await user.begin(screen, replaying=False, focus=focus, given=act.given)
                if opener:
                    await user.press(opener)
                if screen not in SHADOWED.get(name, ()):
                    assert user.offered(each.key) == name
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
            await user.begin(screen, replaying=True)
            if _action(each) == "mark":  # space plays
                assert user.offered(each.key) == "replay.play"
            else:
                assert user.offered(each.key) == name
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
            assert await user.does(each.key, act), f"{each.key} does not do {name}"


async def test_a_key_of_the_program_means_the_same_on_every_screen(sessions_folder):
    async with hands() as user:
        for screen in PLACES:
            own = {each.key for _, each, _ in pressed(screen)}
            for replaying, scopes in ((False, ["app"]), (True, ["app", "replay"])):
                await user.begin(screen, replaying=replaying)
                for name, each, _ in pressed(*scopes):
                    if screen not in SHADOWED.get(name, ()) or each.key not in own:
                        assert user.offered(each.key) == name, screen
                        assert each.key not in user.screen._refused()


def test_no_two_bindings_of_a_screen_or_widget_share_a_key():
    for owner in dict.fromkeys(owner for owner, _ in BOUND.values()):
        keys = [each.key for each in Binding.make_bindings(vars(owner)["BINDINGS"])]
        assert [key for key, count in Counter(keys).items() if count > 1] == [], owner


async def test_a_key_has_two_meanings_only_where_that_is_meant(sessions_folder):
    async with hands() as user:
        for screen in PLACES:
            await user.begin(screen, replaying=True)
            for widget in user.screen.query("FrameTable, HeadMap, ChainView, TokenStrip"):
                meanings = [
                    (key, each.id)
                    for owner in (widget, user.screen, user.app)
                    for key, each in owner._bindings
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
        ("2", "\x1b3", "neurons"),
        ("2", "\x1b8", "paper"),
        ("2", "\x1bT", "TimelineDialog"),
        ("T", "\x1b3", "neurons"),
        ("slash", "\x1bT", "TimelineDialog"),
    ],
)
async def test_escape_and_a_key_at_once_are_both_taken(opener, sent, place, sessions_folder):
    async with hands() as user:
        await user.begin("heads", replaying=False)
        await user.press(opener)
        parser = XTermParser()
        events = [*parser.feed(sent)]  # as a terminal writes both keys
        await user.pilot.pause(2 * ESCAPE_DELAY)
        (event,) = [*events, *parser.tick()]
        user.app.post_message(event)
        await user.until(lambda: user.here == place)
        # On a screen escape went back to the first; in a dialog it closed that.
        behind = "prompts" if opener == "2" else "heads"
        assert user.app._trail[-1:] == [behind] or behind == user.app._front.NAME


async def test_an_odd_sign_is_typed_where_one_types(sessions_folder):
    async with hands() as user:
        await user.begin("heads", replaying=False)
        await user.press("slash")
        user.app.post_message(Key("pound_sign", "£"))
        await user.pilot.pause()
        assert user.screen.query_one(Input).value == "£"
