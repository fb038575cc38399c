"""What the version before wrote and understood: its sessions, plans, keys, commands, documents.

The files in `tests/support/before` are its own; its README says how they came to be. They stay as
they are: where one of these tests fails, it is the program that has to be mended.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from polars.testing import assert_frame_equal
from terminals import terminal
from tiny_folder import HEADS_IN_ALL
from typer.main import get_command

from analysis.step import REGISTRY, parse_step
from sessions import Session, list_sessions
from workbench.cli.app import make_app

BEFORE = Path(__file__).parents[1] / "support" / "before"
MODEL = BEFORE / "model"
ON_MODEL = ("--model", MODEL, "--device", "cpu")
STOPPED, FOUND = 2, 5
"""The number of the sweep that was stopped, and of the rows it had found."""
PAGES_ONLY = {"ablate", "circuit", "hidden_sets"}
"""Kinds that had no screen of their own; a report tells their rows."""
NAMED = {"heads", "neurons", "cna", "pairs", "hidden", "evaluate", "prune"}
"""Kinds whose screens name the row that comes first."""
KEYS_PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
F7 = "\x1b[18~"


def recorded(name: str) -> Any:
    """What was written down of the version before."""
    return json.loads((BEFORE / name).read_text("utf-8"))


# Sessions


@pytest.fixture
def before(sessions_folder) -> Session:
    """A copy of its session, with a step of every kind."""
    shutil.copytree(BEFORE / "session", sessions_folder / "before")
    return Session.open("before")


def test_its_session_opens_with_a_step_of_every_kind(before, workbench):
    assert {each.step.kind for each in before.steps} == {*recorded("steps.json")}
    assert before.notices == before.unreadable == []
    assert before.info.note == "written by the version before"
    states = ["done"] * len(before.steps)
    states[STOPPED - 1] = "stopped"
    (summary,) = list_sessions()
    assert [*summary.states] == states
    shown = workbench("sessions", "show", "before", "--json").document["steps"]
    assert [each["state"] for each in shown] == states
    assert shown[STOPPED - 1]["rows"] == FOUND
    assert all(each["rows"] == each["expected"] for each in shown if each["state"] == "done")
    assert shown[2]["note"] == "the neurons of L1H2"


def test_each_of_its_steps_is_drawn_on_its_screen_and_told_in_a_report(before, workbench, tmp_path):
    assert workbench("sessions", "export", "before", tmp_path / "report").code == 0
    report = (tmp_path / "report" / "report.md").read_text("utf-8")
    pictures = {each.stem: each for each in (tmp_path / "report" / "pictures").iterdir()}
    drawn = [each for each in before.steps if each.step.kind not in PAGES_ONLY]
    assert {*pictures} >= {each.id for each in drawn}
    for each in drawn:
        assert f"pictures/{each.id}.svg" in report
        if each.step.kind in NAMED:
            text = re.sub(r"<[^>]+>", "", pictures[each.id].read_text("utf-8"))
            assert each.step.ranked(each.rows())["name"][0] in text, each.id


def test_its_numbers_are_computed_again(before, workbench):
    outcome = workbench("replay", "before", "--check", *ON_MODEL, "--json")
    assert outcome.code == 0, outcome.err
    agrees = [each["agrees"] for each in outcome.document]
    assert agrees == [None if each.state == "stopped" else True for each in before.steps]
    assert not any(each["definition_changed"] for each in outcome.document)


def test_the_sweep_that_it_stopped_goes_on_to_its_end(before, workbench):
    stopped = before.step(STOPPED)
    found, estimates = stopped.rows(), stopped.estimates()
    assert (stopped.state, found.height, stopped.info.expected) == ("stopped", FOUND, HEADS_IN_ALL)
    assert estimates is not None
    assert estimates.height == HEADS_IN_ALL

    outcome = workbench("resume", "before", *ON_MODEL, "--json")
    assert outcome.code == 0, outcome.err
    (finished,) = [each for each in Session.open("before").steps if each.id == stopped.id]
    assert (finished.state, finished.done_rows) == ("done", HEADS_IN_ALL)
    assert_frame_equal(finished.rows().head(FOUND), found)  # kept, not computed again
    sweep = ("heads", "--prompt", "3 + 5 = ", "--answer", "8", "--mode", "mean")
    anew = workbench(*sweep, *ON_MODEL, "--json").document
    resumed = {each["name"]: each["logprob"] for each in outcome.document["rows"]}
    assert resumed == pytest.approx({each["name"]: each["logprob"] for each in anew["rows"]})
    assert len(Session.open("before").steps) == len(before.steps)


def test_a_step_it_has_is_not_computed_again_by_a_plan(before, workbench, tmp_path):
    path = tmp_path / "before.toml"
    path.write_text('[[step]]\nkind = "project"\nsource = "L1N7"\nthrough = "L2H1"\ntop = 5\n')
    outcome = workbench("run", path, *ON_MODEL, "--json")
    assert outcome.code == 0, outcome.err
    (step,) = outcome.document["steps"]
    assert (step["id"], step["state"]) == ("005-project", "there already")


def test_its_bundle_becomes_a_session(workbench):
    assert workbench("sessions", "import", BEFORE / "bundle.zip").code == 0
    assert [each.step.kind for each in Session.open("handed-on").steps] == ["gains", "project"]
    outcome = workbench("replay", "handed-on", "--check", *ON_MODEL, "--json")
    assert outcome.code == 0, outcome.err


def test_its_mask_names_the_changes_of_a_step(workbench):
    change = ("--change", f"@{BEFORE / 'plan' / 'mask.json'}")
    outcome = workbench("gains", "--prompt", "3 + 5 = ", *change, *ON_MODEL, "--json")
    assert outcome.code == 0, outcome.err
    scaled = [
        (name, each["factor"])
        for each in outcome.document["step"]["changes"]
        for name in (*each["heads"], *each["neurons"])
    ]
    assert sorted(scaled) == [("L0H1", 0), ("L1H2", 0.5), ("L2N3", 0.5)]


# Steps and plans


def test_steps_of_every_kind_have_the_fields_and_defaults_they_had():
    steps = recorded("steps.json")
    for kind, (given, whole) in steps.items():
        assert kind in REGISTRY
        assert parse_step({"kind": kind, **given}).model_dump(mode="json") == whole, kind


@pytest.fixture
def plans(tmp_path, monkeypatch) -> Path:
    """The folder with its plans, and the one that this process works in."""
    folder = tmp_path / "plan"
    shutil.copytree(BEFORE / "plan", folder)
    shutil.copytree(MODEL, folder / "model")
    monkeypatch.chdir(folder)
    return folder


def test_every_key_of_its_plans_means_what_it_meant(plans, sessions_folder, workbench):
    """The steps it read stand in a session, each begun; the plan finds all of them there."""
    text = (BEFORE / "planned.json").read_text("utf-8").replace("PLANS", str(plans))
    expected = json.loads(text)
    shutil.copytree(BEFORE / "session", sessions_folder / "steps")
    for folder in sessions_folder.glob("steps/*-*"):
        shutil.rmtree(folder)
    rest = {"schema": 1, "state": "stopped", "started": "2026-11-29T07:00:00Z", "expected": 1}
    for place, each in enumerate(expected, start=1):
        folder = sessions_folder / "steps" / f"{place:03}-{each['kind']}"
        folder.mkdir()
        (folder / "step.json").write_text(json.dumps(each | rest), "utf-8")

    listed = workbench("run", plans / "steps.toml", "--list", "--json")
    assert listed.code == 0, listed.err
    found = listed.document["steps"]
    assert [(each["kind"], each["id"], each["state"]) for each in found] == [
        (each["kind"], f"{place:03}-{each['kind']}", "stopped")
        for place, each in enumerate(expected, start=1)
    ]


def test_what_stands_above_the_steps_of_a_plan_is_heeded(plans, workbench):
    listed = workbench("run", plans / "night.toml", "--list", "--json")
    assert listed.code == 0, listed.err
    assert listed.document["session"] == "nightly"

    path = plans / "whole.toml"  # rounding the weights to 8 bits takes what not every machine has
    path.write_text((plans / "night.toml").read_text("utf-8").replace("bits = 8\n", ""), "utf-8")
    outcome = workbench("run", path, "--json")
    assert outcome.code == 1  # the tiny model has no layer 9, and the plan keeps going
    assert [each["state"] for each in outcome.document["steps"]] == ["failed", "done"]
    info = Session.open("nightly").info
    assert (info.seed, info.model.dtype, info.model.device) == (3, "float32", "cpu")
    assert info.model.adapter == "adapter"


# Commands and documents


def options(command: Any, path: str = "workbench") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each command below one, with what it takes by the names that one gives it."""
    yield path, dict(described(each) for each in command.params)
    for name, each in getattr(command, "commands", {}).items():
        yield from options(each, f"{path} {name}")


def described(parameter: Any) -> tuple[str, dict[str, Any]]:
    """An option or argument as a script depends on it: its name, and what is so of it."""
    argument = parameter.param_type_name == "argument"
    default = parameter.default
    facts = {
        "argument": argument,
        "also": sorted([*parameter.opts, *parameter.secondary_opts])[:-1],
        "required": parameter.required,
        "several": bool(getattr(parameter, "multiple", False)) or parameter.nargs != 1,
        "flag": bool(getattr(parameter, "is_flag", False)),
        "default": default if isinstance(default, bool | int | float | None) else str(default),
    }
    name = parameter.name if argument else max(parameter.opts, key=len)
    unsaid = (False, None)  # nothing is so of an ordinary option; 0 is a default as any other
    return name, {
        fact: value
        for fact, value in facts.items()
        if value != [] and not any(value is each for each in unsaid)
    }


def arguments(taken: dict[str, Any]) -> list[str]:
    """What is given without an option, in order."""
    return [name for name, facts in taken.items() if facts.get("argument")]


def test_every_command_takes_the_options_it_took():
    now = dict(options(get_command(make_app())))
    for command, taken in recorded("surface.json").items():
        for name, facts in taken.items():
            is_now = dict(now[command][name])
            if not facts.get("several"):
                is_now.pop("several", None)  # what was given once may be repeated now
            kept = {fact: each for fact, each in facts.items() if fact != "required"}
            assert is_now == (facts if is_now.get("required") else kept), f"{command} {name}"
        assert arguments(now[command]) == arguments(taken), command
        added = now[command].keys() - taken.keys()
        assert not any(now[command][name].get("required") for name in added), command


def keys_in(document: Any, path: str = "") -> set[str]:
    """Where in a document there is something, as `.steps[].id`; most models are passed over."""
    if isinstance(document, dict) and path not in (".model", ".tables[].model"):
        return {path}.union(*(keys_in(each, f"{path}.{key}") for key, each in document.items()))
    if isinstance(document, list):
        return {path}.union(*(keys_in(each, f"{path}[]") for each in document))
    return {path}


DOCUMENTS = {
    "sessions": "sessions ls",
    "a session": "sessions show before",
    **{f"step {number}": f"sessions show before --step {number}" for number in range(1, 19)},
    "a difference": "sessions diff before handed-on",
    "files": "sessions export before here --format json --step 5,6",
    "a plan": "run steps.toml --list",
    "tables": "paper --list",
    "models": "models ls",
    "a check": "replay handed-on --check ON",
    "heads": "heads --task sums.jsonl ON",
    "cna": "cna --prompt '3 + 5 = ' --answer 8 --against '3 - 5 = ' --top 3 ON",
    "edit": "edit --ablate L1H2 --task sums.jsonl --text text.txt --controls 1 ON",
    "tables measured": "paper --table T1 --task sums.jsonl ON",
    "an export": "export there --format mask --change L1H2 ON",
    "a finished plan": "run short.toml ON",
}
"""Commands whose documents are looked at; ON stands for the tiny model."""


def answered(command: str, workbench: Any) -> Any:
    """The document of one of them."""
    words = [ON_MODEL if each == "ON" else (each,) for each in shlex.split(command)]
    outcome = workbench(*itertools.chain(*words), "--json")
    assert outcome.code == 0, outcome.err
    return outcome.document


@pytest.mark.parametrize("which", DOCUMENTS)
def test_a_document_has_the_keys_it_had(which, before, plans, workbench):
    workbench("sessions", "import", BEFORE / "bundle.zip")
    (plans / "short.toml").write_text('[[step]]\nkind = "project"\nsource = "L1N7"\n', "utf-8")
    document = answered(DOCUMENTS[which], workbench)
    assert {*recorded("documents.json")[which]} <= keys_in(document)


# Keys


def keys_by_place(page: str) -> dict[str, set[str]]:
    """The keys that work in each place, as the page of keys names them."""
    _, *places = page.split("\n## ")
    return {
        each.splitlines()[0]: {
            key
            for row in re.findall(r"^\| (`.*?`) \|", each, re.M)
            for key in row[1:-1].split("` `")
        }
        for each in places
    }


def test_every_key_it_had_is_a_key_of_its_place():
    now = keys_by_place(KEYS_PAGE.read_text("utf-8"))
    for place, keys in recorded("keys.json").items():
        assert {*keys} <= now[place], place


@pytest.fixture
def own_keys(tmp_path, workbench) -> Path:
    """The settings of somebody who has given every action another key."""
    return shutil.copyfile(BEFORE / "config.toml", tmp_path / "config.toml")


def test_every_action_it_had_takes_a_key_of_ones_own(own_keys, before):
    with terminal("replay", "before") as screen:
        screen.until("replay")
        screen.press(F7)
        screen.until("example:paper")


def test_an_action_it_had_not_takes_none(own_keys, before):
    own_keys.write_text(own_keys.read_text("utf-8") + '"heads.dance" = "f12"\n', "utf-8")
    with terminal("replay", "before") as screen:
        assert screen.ends() == 2
        assert "there is no action 'heads.dance'" in screen.text
