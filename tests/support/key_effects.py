"""What every key must do: the table that the test of all keys goes through."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from hands import (
    Act,
    asks,
    becomes,
    goes,
    in_state,
    moves,
    opens,
    posts,
    says,
    staged,
    turns,
)
from made_up import attended, contexts, edges, lens, paced, patched, taken_apart
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.dom import DOMNode
from textual.widgets import OptionList

import screens
import workbench
from analysis.paper.registry import TABLES
from analysis.refs import HeadRef
from screens.chrome import TABS
from screens.messages import (
    ChangesStaged,
    CopyRequested,
    NoteRequested,
    PromptsChosen,
    RerunRequested,
    ResumeRequested,
    SessionChosen,
    StepRequested,
    StopRequested,
)
from screens.settings import ValueLine
from screens.widgets.attention_map import AttentionMap
from screens.widgets.cell_map import HeadMap, PositionMap
from screens.widgets.chain_view import ChainView
from screens.widgets.frame_table import FrameTable
from screens.widgets.inputs import FilterInput
from screens.widgets.token_strip import TokenStrip
from workbench.roster import SCREENS


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


def bound_to(one) -> list[Binding]:
    """The bindings of the classes of a widget, a screen or an app."""
    return [
        each for owner, bindings in BOUND.values() if isinstance(one, owner) for each in bindings
    ]


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


def chain_goes(node):
    """The cursor of the drawing goes to a node of the recorded chain, which begins at L20H8."""
    return becomes(lambda user: the(ChainView)(user).cursor, node)


def head(part):
    return lambda user: getattr(user.screen.query_one(HeadMap).cursor, part)


def parts(user):
    return len(user.workspace.staged.changes)


def tells(words):
    """The words below the settings have these."""
    return becomes(lambda user: words in user.text("#meaning"), True)


def focused(user):
    return user.app.focused.id


def highlighted(user):
    return user.screen.query_one(OptionList).highlighted


def scrolled(user):
    return user.screen.query_one(VerticalScroll).scroll_target_y


def cases(user):
    return user.screen.query_one("#cases", FrameTable)


def order(place):
    """The table is sorted by the column at that place."""
    names = ("number", "prompt", "answer", "group")
    return becomes(lambda user: cases(user).sorted_by, names[place])


FILTER = Act(becomes(lambda user: user.screen.query_one(FilterInput).is_open, True))
STAGED = Act(posts(ChangesStaged, lambda user, message: len(message.changes)))
CLOSED = Act(goes("heads"))


def noticed(workspace):
    """Three notices were given."""
    workspace.notices.kept.clear()
    for words in ("first", "second", "third"):
        workspace.notices.add(words, "", "information", 4)


NO = Act(lambda user: lambda: user.here == "change" and parts(user) == 1, given=staged)


def another(kind):
    """There is a second result of a kind."""

    def given(workspace):
        first = workspace.current(kind)
        workspace.results.insert(0, replace(first, id="900-second"))

    return given


SECOND = Act(becomes(lambda user: user.screen.second is not None, True), given=another("heads"))


def slow(workspace):
    """Sweeps took ten minutes."""
    workspace.results[:] = [
        replace(each, seconds=600.0, model=workspace.model) if each.step.kind == "heads" else each
        for each in workspace.results
    ]


def requests(user):
    return sum(isinstance(each, StepRequested) for each in user.messages)


def step_of(user):
    return user.workspace.replay_place


def undone(workspace):
    staged(workspace)
    workspace.staged.go(-1)


def opened(made, *changed):
    """A made-up result is shown by the shape of its rows."""

    def given(workspace):
        workspace.results.append(made(*changed))
        workspace.show(workspace.results[-1], "result")

    return given


def with_edges(workspace):
    """Screen 5 shows edges of a pair."""
    workspace.results.append(edges())
    workspace.show(workspace.results[-1], "chain", "edges")


def legend(user):
    return user.text("#lines")


def patches(*others, **first):
    """A patch is in sight, and there are others with some of its parameters changed."""

    def given(workspace):
        made = [patched(**first), *(patched(**(first | other)) for other in others)]
        made = [replace(each, id=f"{place}-patch") for place, each in enumerate(made, start=1)]
        workspace.results += made
        workspace.show(made[0], "patch")

    return given


def patch_is(name, value):
    """The patch in sight was asked for with this parameter."""
    return becomes(lambda user: getattr(user.screen.step, name), value)


def reads(state="done"):
    """The contexts of two parts are in sight."""

    def given(workspace):
        workspace.results.append(contexts(state=state))
        workspace.show(workspace.results[-1], "corpus")

    return given


def in_sight(user):
    return user.screen.contexts.part, user.screen.contexts.kind


def layer(user):
    return the(PositionMap)(user).cursor.layer


def position(user):
    return the(PositionMap)(user).cursor.place


LENS = opened(lens)


def swept(workspace):
    """The sweep is shown by the shape of its rows."""
    workspace.show(workspace.current("heads"), "result")


def looks(*shifts):
    """What two heads look at is in sight, and there are runs in which they look farther back."""

    def given(workspace):
        made = [replace(attended(shift=each), id=f"{each}-attend") for each in (0, *shifts)]
        workspace.results += [replace(each, model=workspace.model) for each in made]
        workspace.show(workspace.results[-len(made)], "attend")

    return given


def attends(name):
    """A head and all others of its layer are to be looked at."""
    return asks("attend", lambda user, step: HeadRef.parse(name) in step.heads)


def asks_for_neurons_of(name):
    return asks("cna", lambda user, step: step.ablate.names == name)


def query(user):
    return user.screen.view()["query"]


def key(user):
    return user.screen.query(AttentionMap).first().cursor.key


LOOKS = looks()


def apart(**asked):
    """A run that is taken apart is in sight."""

    def given(workspace):
        made = replace(taken_apart(**asked), model=workspace.model)
        workspace.results.append(made)
        workspace.show(made, "direct")

    return given


def takes_apart(**asked):
    """A run is to be taken apart so."""
    return asks(
        "direct",
        lambda user, step: all(getattr(step, name) == each for name, each in asked.items()),
    )


EFFECTS: dict[str, Act | tuple[Act, ...]] = {
    **{f"app.{name}": Act(goes(name)) for _, name, _ in TABS},
    "app.back-stop": Act(goes("prompts"), ("1", "4")),
    "app.back-then-quit": Act(goes("prompts"), ("1", "4")),
    "app.quit": Act(moves(lambda user: user.app.left, 1)),
    "app.keys": Act(opens("KeyList", "Keys")),
    "app.find": Act(opens("KeyList", "Find anything")),
    "app.picture-of-the-screen": Act(says("Saved workbench-")),
    "app.notices": Act(goes("NoticeList")),
    "app.guide": Act(becomes(lambda user: user.workspace.guided, True)),
    "app.settings": Act(goes("settings")),
    "app.theme": Act(goes("ThemeChoice")),
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
        turns(lambda user: user.screen.query_one("#sessions", FrameTable).sorted_by)
    ),
    "rows.reverse-the-order": Act(
        turns(lambda user: user.screen.query_one("#sessions", FrameTable).descending), ("s",)
    ),
    "rows.copy-the-name": Act(
        posts(CopyRequested, lambda user, m: m.text == user.table.current["name"])
    ),
    "rows.copy-the-row": Act(posts(CopyRequested, lambda user, m: m.what == "the row")),
    "rows.copy-all-rows": Act(posts(CopyRequested, lambda user, m: m.what.endswith(" rows"))),
    "rows.export": Act(opens("Form", "Export ")),
    "rows.by-its-shape": Act(says("no result here yet")),
    "table.row-above": Act(moves(at("#cases"), -1), ("down", "down")),
    "table.row-below": Act(moves(at("#cases"), 1)),
    "table.page-up": Act(becomes(at("#cases"), 0), ("pagedown",)),
    "table.page-down": Act(lambda user: lambda: 1 < at("#cases")(user) < 35),
    "table.first-row": Act(becomes(at("#cases"), 0), ("down",)),
    "table.last-row": Act(becomes(at("#cases"), 35)),
    "table.sort-by-the-next-column": (Act(order(1)), Act(order(2), ("right",))),
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
    "positions.before": Act(moves(position, -1), ("right", "right"), LENS),
    "positions.after": Act(moves(position, 1), given=LENS),
    "positions.layer-above": Act(moves(layer, 1), given=LENS),
    "positions.layer-below": Act(moves(layer, -1), ("up", "up"), LENS),
    "positions.eight-layers-up": Act(moves(layer, 8), given=LENS),
    "positions.eight-layers-down": Act(moves(layer, -8), ("pageup",), LENS),
    "positions.first": Act(becomes(position, 0), ("right",), LENS),
    "positions.last": Act(becomes(position, 9), given=LENS),
    "positions.first-layer": Act(becomes(layer, 0), ("up",), LENS),
    "positions.last-layer": Act(becomes(layer, 11), given=LENS),
    "drawing.what-feeds-it-most": Act(chain_goes("L20H8"), ("right",)),
    "drawing.what-it-feeds-most": Act(chain_goes("L23N761")),
    "drawing.node-above": Act(chain_goes("L6N909@14"), ("left", "G")),
    "drawing.node-below": Act(chain_goes("L8N764@17"), ("left", "g")),
    "drawing.first-node-of-the-stage": Act(chain_goes("L8N1191@20"), ("left", "G")),
    "drawing.last-node-of-the-stage": Act(chain_goes("L11N1229@0"), ("left", "g")),
    "drawing.open": Act(asks("project")),
    "text.token-before": Act(moves(query, -1), given=LOOKS),
    "text.token-after": Act(moves(query, 1), ("up", "up"), LOOKS),
    "text.line-above": Act(becomes(query, 0), given=LOOKS),
    "text.line-below": Act(becomes(query, 9), ("up",), LOOKS),
    "text.first-token": Act(becomes(query, 0), given=LOOKS),
    "text.last-token": Act(becomes(query, 9), ("up",), LOOKS),
    "pattern.key-before": Act(moves(key, -1), given=LOOKS),
    "pattern.key-after": Act(moves(key, 1), ("left", "left"), LOOKS),
    "pattern.query-above": Act(moves(query, -1), given=LOOKS),
    "pattern.query-below": Act(moves(query, 1), ("up", "up"), LOOKS),
    "pattern.eight-up": Act(moves(query, -8), given=LOOKS),
    "pattern.eight-down": Act(moves(query, 8), ("g",), LOOKS),
    "pattern.first-key": Act(becomes(key, 0), given=LOOKS),
    "pattern.last-key": Act(becomes(key, 9), ("left",), LOOKS),
    "pattern.first-query": Act(becomes(query, 0), given=LOOKS),
    "pattern.last-query": Act(becomes(query, 9), ("up",), LOOKS),
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
    "prompts.new-prompt": Act(opens("CaseForm", "Case")),
    "prompts.edit": Act(
        becomes(lambda user: getattr(user.app.focused, "text", "").startswith("2 + 3 = 5\n"), True)
    ),
    "prompts.direct-attribution": Act(takes_apart(unit="head")),
    "prompts.task": Act(opens("TaskField", "Task")),
    "prompts.more-shots": Act(moves(lambda user: user.screen.shots, 1), ("minus",)),
    "prompts.fewer-shots": Act(moves(lambda user: user.screen.shots, -1), ("plus",)),
    "prompts.filter": FILTER,
    "heads.sweep": Act(asks("heads", lambda user, step: step.mode == "zero")),
    "heads.its-neurons": Act(
        asks("cna", lambda user, step: step.ablate.heads == (the(HeadMap)(user).cursor,))
    ),
    "heads.what-it-looks-at": Act(attends("L0H0")),
    "heads.metric": Act(becomes(seen_as("metric"), "accuracy")),
    "heads.operation": Act(says("all of one operation"), offered=False),
    "heads.second-run": SECOND,
    "heads.compare": (
        Act(turns(seen_as("face")), ("w",), another("heads")),
        Act(says("Press w first"), offered=False),
    ),
    "heads.top-head": Act(becomes(seen_as("cursor"), "L20H8")),
    "heads.mark": Act(becomes(lambda user: len(seen_as("marked")(user)), 1)),
    "heads.ablate-marked": (
        Act(asks("ablate", lambda user, step: len(step.sets[0].heads) == 1), ("space",)),
        Act(says("Mark heads with space first; a ablates them together.")),
    ),
    "heads.stage-a-change": STAGED,
    "heads.zero-mean-ablation": Act(asks("heads", lambda user, step: step.mode == "mean")),
    "heads.its-chain": Act(asks("chain", lambda user, step: str(step.head) == "L20H8"), ("b",)),
    "heads.patterns": Act(asks("detect", lambda user, step: step.heads is None)),
    "heads.find-a-head": Act(opens("Ask", "Head")),
    "neurons.fires-on": Act(asks("corpus")),
    "neurons.read": Act(asks("project", lambda user, step: step.source == "L29N904")),
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
    "neurons.what-it-looks-at": Act(attends("L20H8")),
    "neurons.second-run": replace(SECOND, given=another("cna")),
    "neurons.importance": Act(asks("neurons")),
    "neurons.hidden": Act(asks("hidden")),
    "neurons.all-exact": Act(asks("cna", lambda user, step: step.top is None)),
    "neurons.resume": Act(posts(ResumeRequested), given=in_state("cna", "stopped")),
    "tokens.fires-on": Act(asks("corpus")),
    "tokens.through": Act(opens("Ask", "Attention layer")),
    "tokens.value-run": Act(
        asks("project", lambda user, step: step.prompt != user.result.step.prompt)
    ),
    "tokens.reading": Act(
        asks("project", lambda user, step: step.reading != user.result.step.reading)
    ),
    "tokens.read-another": Act(opens("Ask", "What to read")),
    "tokens.lens": Act(asks("lens")),
    "tokens.gains": Act(asks("gains")),
    "tokens.other-end": Act(becomes(focused, "bottom")),
    "chain.fires-on": Act(asks("corpus")),
    "chain.chain": Act(asks("chain")),
    "chain.its-tokens": Act(asks("project", lambda user, step: step.source == "L20H8")),
    "chain.what-it-looks-at": Act(attends("L20H8")),
    "chain.zero-the-node": Act(becomes(seen_as("zeroed"), True)),
    "chain.mark": Act(becomes(lambda user: len(seen_as("marked")(user)), 1)),
    "chain.ablate-marked": (
        Act(asks("ablate"), ("space",)),
        Act(says("Mark nodes with space first; a then zeroes")),
    ),
    "chain.stage-a-change": STAGED,
    "chain.more-edges": (
        Act(turns(legend), ("minus",), with_edges),
        Act(says("All edges of the chain are in sight."), offered=False),
    ),
    "chain.fewer-edges": Act(turns(legend), given=with_edges),
    "change.pairs": Act(opens("Form", "pairs · ")),
    "change.lora": Act(opens("Form", "lora · ")),
    "change.prune": Act(opens("Form", "prune · ")),
    "change.stage": STAGED,
    "change.measure": Act(asks("evaluate", lambda user, step: str(step.edit) != ""), given=staged),
    "change.undo": Act(becomes(parts, 0), given=staged),
    "change.redo": Act(becomes(parts, 1), given=undone),
    "change.factor": Act(opens("Ask", "Scale L20H8"), given=staged),
    "change.drop": Act(becomes(parts, 0), given=staged),
    "change.drop-all": Act(opens("Confirm", "Drop all staged changes?"), given=staged),
    "change.use": Act(becomes(lambda user: user.workspace.staged.in_use, True), given=staged),
    "change.cna": Act(asks("cna", lambda user, step: "L20H8" in str(step.ablate)), given=staged),
    "change.write": Act(opens("Form", "Write the model"), given=staged),
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
    "patch.fires-on": Act(asks("corpus"), given=patches(unit="head")),
    "patch.patch": Act(posts(ResumeRequested), given=patches(state="stopped")),
    "patch.open": Act(asks("lens"), given=patches()),
    "patch.unit": Act(patch_is("unit", "attention"), given=patches({"unit": "attention"})),
    "patch.positions": Act(patch_is("positions", "all"), given=patches({"positions": "all"})),
    "patch.metric": Act(patch_is("metric", "logprob"), given=patches({"metric": "logprob"})),
    "patch.noising": Act(patch_is("noising", True), given=patches({"noising": True})),
    "patch.beside": Act(
        becomes(lambda user: user.screen.second is not None, True), given=patches({"noising": True})
    ),
    "patch.stage-a-change": replace(STAGED, given=patches(unit="head")),
    "patch.what-it-looks-at": (
        Act(attends("L11H8"), given=patches(unit="head")),
        Act(says("Only attention heads look at tokens"), given=patches()),
    ),
    "patch.strongest": Act(becomes(position, 9), ("left",), given=patches()),
    "patch.filter": replace(FILTER, given=patches(unit="neuron")),
    "corpus.prompt": Act(posts(PromptsChosen), given=reads()),
    "corpus.other-contexts": Act(becomes(in_sight, ("L20N3", "sample")), given=reads()),
    "corpus.next-part": Act(becomes(in_sight, ("L2H1", "top")), given=reads()),
    "corpus.part-before": Act(becomes(in_sight, ("L2H1", "top")), given=reads()),
    "corpus.its-tokens": Act(
        asks("project", lambda user, step: step.source == "L20N3"), given=reads()
    ),
    "corpus.document": Act(says("the text tale.txt"), given=reads()),
    "corpus.read-a-text": Act(opens("Form", "Read running text"), given=reads()),
    "corpus.stage-a-change": replace(STAGED, given=reads()),
    "corpus.filter": replace(FILTER, given=reads()),
    "corpus.go-on": Act(posts(ResumeRequested), given=reads("stopped")),
    "attention.weights-values": Act(
        becomes(lambda user: user.screen.shown.measure, "value_weighted"), given=LOOKS
    ),
    "attention.text-matrix": Act(becomes(seen_as("face"), "matrix"), given=LOOKS),
    "attention.head-before": Act(
        becomes(seen_as("head"), "L1H0"), ("greater_than_sign",), given=LOOKS
    ),
    "attention.head-after": Act(becomes(seen_as("head"), "L1H1"), given=LOOKS),
    "attention.beside": Act(
        becomes(lambda user: user.screen.second is not None, True), given=looks(1)
    ),
    "attention.compare": (
        Act(turns(seen_as("apart")), ("w",), looks(1)),
        Act(says("Press w first"), given=LOOKS, offered=False),
    ),
    "attention.residual": Act(asks("lens"), given=LOOKS),
    "attention.its-neurons": Act(asks_for_neurons_of("L1H0"), given=LOOKS),
    "attention.stage-a-change": replace(STAGED, given=LOOKS),
    "attention.find-a-head": Act(opens("Ask", "Head"), given=LOOKS),
    "direct.next-picture": Act(becomes(seen_as("face"), "heads"), given=apart()),
    "direct.its-tokens": (
        Act(asks("project", lambda user, step: step.source == "residual:11"), given=apart()),
        Act(asks("project", lambda user, step: step.source == "L0N0"), given=apart(unit="neuron")),
    ),
    "direct.neurons": Act(takes_apart(unit="neuron"), given=apart()),
    "direct.by-token": (
        Act(takes_apart(sources=(HeadRef(11, 1),)), ("tab",), apart()),
        Act(says("Put the cursor on a head"), given=apart()),
    ),
    "direct.prompt-tokens": Act(asks("inputs"), given=apart()),
    "direct.what-it-looks-at": Act(attends("L11H1"), ("tab",), apart()),
    "direct.measure": Act(
        becomes(lambda user: user.screen.shown.measure, "logprob_increase"), ("tab",), apart()
    ),
    "direct.stage-a-change": replace(STAGED, given=apart(unit="neuron")),
    "direct.fires-on": Act(asks("corpus"), given=apart(unit="neuron")),
    "direct.again": Act(takes_apart(unit="head"), given=apart()),
    "direct.strongest": Act(
        becomes(lambda user: str(the(HeadMap)(user).cursor), "L11H1"), ("tab", "g"), apart()
    ),
    "direct.filter": replace(FILTER, given=apart(unit="neuron")),
    "result.again": (
        Act(posts(RerunRequested), given=LENS),
        Act(posts(ResumeRequested), given=opened(lens, 12, "stopped")),
    ),
    "result.measure": Act(
        becomes(lambda user: user.screen.shown.measure, "answer_prob"), given=LENS
    ),
    "result.filter": replace(FILTER, given=opened(paced)),
    "result.what-it-looks-at": (
        Act(asks("attend"), given=swept),
        Act(says("put the cursor on one of them"), given=LENS),
    ),
    "result.fires-on": (
        Act(asks("corpus"), given=swept),
        Act(says("put the cursor on one of them"), given=LENS),
    ),
    "settings.change": Act(turns(lambda user: user.app.theme)),
    "settings.default": Act(tells("theme is workbench-dark")),
    "settings.keys": Act(goes("keys")),
    "settings.filter": FILTER,
    "keys.change": Act(goes("PressKey")),
    "keys.default": Act(says("It has the keys that ship.")),
    "keys.all-default": Act(opens("Confirm", "Give every action the keys")),
    "keys.filter": FILTER,
    "ValueLine.close": Act(
        becomes(lambda user: the(ValueLine)(user).is_open, False), ("down", "down", "enter")
    ),
    "ThemeChoice.dismiss(None)": Act(goes("settings")),
    "ThemeChoice.move('down')": Act(moves(highlighted, 1)),
    "ThemeChoice.move('up')": Act(moves(highlighted, -1), ("j", "j")),
    "Weigh.start": replace(CLOSED, given=slow),
    "Weigh.cases": Act(becomes(lambda user: user.app.focused is not None, True), given=slow),
    "Weigh.dismiss(None)": replace(CLOSED, given=slow),
    "result.another-case": Act(opens("Ask", "Case of add1"), given=LENS),
    "Ask.dismiss(None)": CLOSED,
    "Ask.accept": CLOSED,
    "TaskField.dismiss(None)": Act(goes("prompts")),
    "TaskField.accept": Act(posts(PromptsChosen), ("s", "u")),
    "TaskField.complete": Act(becomes(lambda user: user.app.focused.value, "gender"), ("g", "e")),
    "TaskField.move('cursor_down')": Act(moves(highlighted, 1)),
    "TaskField.move('cursor_up')": Act(moves(highlighted, -1), ("down", "down")),
    "CaseForm.dismiss(None)": Act(goes("prompts")),
    "CaseForm.take": Act(posts(PromptsChosen), ("x",)),
    "CaseForm.keep": Act(posts(PromptsChosen, lambda user, message: message.case), ("x",)),
    "CaseForm.break": Act(becomes(lambda user: user.app.focused.text, "x\n"), ("x",)),
    "CaseForm.app.focus_next": Act(becomes(lambda user: user.app.focused.name, "answer")),
    "CaseForm.app.focus_previous": Act(
        becomes(lambda user: user.app.focused.name, "prompt"), ("tab",)
    ),
    "CaseForm.respell": Act(says("The model says it as it is typed.")),
    "Confirm.dismiss(True)": Act(becomes(parts, 0), given=staged),
    "Confirm.dismiss(False)": NO,
    "Form.dismiss(None)": Act(goes("change")),
    "Form.accept": Act(asks("pairs")),
    "Form.app.focus_next": Act(becomes(lambda user: user.app.focused.name, "columns")),
    "Form.app.focus_previous": Act(becomes(lambda user: user.app.focused.name, "pairs"), ("down",)),
    "NoticeList.dismiss(None)": Act(goes("neurons"), given=noticed),
    "NoticeList.copy": Act(posts(CopyRequested, lambda _, m: m.text == "third"), given=noticed),
    "NoticeList.move('cursor_down')": Act(moves(highlighted, 1), given=noticed),
    "NoticeList.move('cursor_up')": Act(moves(highlighted, -1), ("j", "j"), given=noticed),
    "NoticeList.move('first')": Act(becomes(highlighted, 0), ("j", "j"), given=noticed),
    "NoticeList.move('last')": Act(becomes(highlighted, 2), given=noticed),
    "Finder.dismiss(None)": CLOSED,
    "Finder.move('cursor_down')": Act(moves(highlighted, 1)),
    "Finder.move('cursor_up')": Act(moves(highlighted, -1), ("down", "down")),
    "Finder.move('page_down')": Act(lambda user: lambda: highlighted(user) > 3),
    "Finder.move('page_up')": Act(becomes(highlighted, 0), ("pagedown",)),
    "HelpPage.dismiss": CLOSED,
    "HelpPage.move('scroll_down')": Act(moves(scrolled, 1)),
    "HelpPage.move('scroll_up')": Act(moves(scrolled, -1), ("j", "j")),
    "HelpPage.move('page_down')": Act(lambda user: lambda: scrolled(user) > 3),
    "HelpPage.move('scroll_home')": Act(becomes(scrolled, 0), ("j",)),
    "HelpPage.move('scroll_end')": Act(lambda user: lambda: scrolled(user) > 20),
    "TimelineDialog.dismiss": CLOSED,
    "TimelineDialog.note": Act(posts(NoteRequested)),
    "TimelineDialog.stop": Act(posts(StopRequested), given=in_state("table", "running")),
    "TimelineDialog.rerun": Act(posts(RerunRequested)),
    "TimelineDialog.resume": Act(posts(ResumeRequested), given=in_state("table", "stopped")),
    "FilterInput.cancel": Act(
        becomes(lambda user: user.screen.query_one(FilterInput).is_open, False)
    ),
}
"""What every binding does, by the action's name: of one without a name, its class and call."""
