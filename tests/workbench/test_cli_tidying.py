"""Listing, renaming and removing sessions from the command line, and bundles of them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from replays import own_example

from sessions import Session, list_sessions
from sessions.bundle import pack

DAY = 24 * 3600


@pytest.fixture
def made(sessions_folder: Path) -> Callable[..., Path]:
    """Makes a session with two steps, modified so many days ago."""

    def make(name: str, days: float = 0, steps: int = 2) -> Path:
        folder = own_example(name)
        for step in sorted(folder.glob("0*"))[steps:]:
            shutil.rmtree(step)
        record = folder / "session.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "note": ""}))
        for path in folder.rglob("*"):
            os.utime(path, (time.time() - days * DAY - 60,) * 2)
        return folder

    return make


def names() -> list[str]:
    return sorted(each.name for each in list_sessions())


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody sits at the terminal and answers every question so."""
    import io

    keyboard = io.StringIO(f"{answer}\n")
    keyboard.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdin", keyboard)


def test_the_list_has_sizes_ages_and_writers_and_fits_80_columns(
    workbench, made, monkeypatch, sessions_folder
):
    made("a-session-with-rather-a-long-name-that-would-take-the-whole-line-for-itself", 3)
    made("damaged")
    (sessions_folder / "damaged" / "002-cna" / "step.json").write_text("{")
    (sessions_folder / "broken").mkdir()
    (sessions_folder / "broken" / "session.json").write_text("{")
    made("mine")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    with Session.open("mine", writable=True):
        lines = workbench("sessions", "ls").out.splitlines()
        listed = {each["name"]: each for each in workbench("sessions", "ls", "--json").document}
    assert max(len(line) for line in lines) <= 80
    text = "\n".join(lines)
    for words in ("3 d ago", "kB", "1 damaged, 1", "it is damaged", f"pid {os.getpid()} w"):
        assert words in text
    assert listed["mine"]["written"] is True
    assert listed["mine"]["writer"]["pid"] == os.getpid()
    assert listed["damaged"]["damaged"] == 1
    assert listed["broken"]["problem"].startswith("it is damaged")


def test_the_steps_of_a_session_fit_80_columns(workbench, made, monkeypatch):
    made("mine", steps=5)
    for name, value in (("COLUMNS", "80"), ("FORCE_COLOR", "1"), ("TERM", "dumb")):
        monkeypatch.setenv(name, value)
    lines = workbench("sessions", "show", "mine").out.splitlines()
    assert max(len(line) for line in lines) <= 80
    (row,) = [line for line in lines if "002-cna" in line]
    assert row.split()[-4:] == ["done", "100", "100", row.split()[-1]]


def test_a_session_gets_another_name(workbench, made):
    made("old")
    assert workbench("sessions", "rename", "old", "new").code == 0
    assert names() == ["new"]
    with Session.open("new", writable=True) as session:
        assert session.notices == []
        assert len(session.steps) == 2


@pytest.mark.parametrize(
    ("old", "new", "code", "reason"),
    [
        ("nowhere", "new", 2, "no session called nowhere"),
        ("old", "a/b", 2, "cannot name a session"),
        ("old", "other", 2, "a session called other exists already"),
        ("old", "old", 2, "a session called old exists already"),
        ("busy", "new", 1, "session busy is being written by process"),
        ("example:addition", "new", 2, "is an example and cannot be changed"),
    ],
)
def test_a_name_that_does_not_do_changes_nothing(workbench, made, old, new, code, reason):
    for name in ("old", "other", "busy"):
        made(name)
    with Session.open("busy", writable=True) as busy:
        outcome = workbench("sessions", "rename", old, new)
        assert outcome.code == code
        assert reason in outcome.err
        assert busy.is_written
        assert list_sessions()[0].writer is not None
    assert names() == ["busy", "old", "other"]


def test_sessions_are_removed_once_somebody_agrees(workbench, made, monkeypatch):
    for name in ("a", "b", "c"):
        made(name)
    assert workbench("sessions", "rm", "a", "b").code == 2
    answering(monkeypatch, "n")
    assert workbench("sessions", "rm", "a", "b").code == 0
    assert names() == ["a", "b", "c"]
    answering(monkeypatch, "y")
    outcome = workbench("sessions", "rm", "a", "b", "a")
    assert "Remove 2 sessions?" in outcome.err
    assert "a: 2 steps, " in outcome.err
    assert names() == ["c"]
    assert workbench("sessions", "rm", "c", "--yes").code == 0
    assert names() == []


def test_if_one_cannot_go_none_goes(workbench, made):
    for name in ("a", "b"):
        made(name)
    assert "no session called x" in workbench("sessions", "rm", "a", "x", "--yes").err
    with Session.open("b", writable=True):
        outcome = workbench("sessions", "rm", "a", "b", "--yes")
    assert outcome.code == 1
    assert "session b is being written by process" in outcome.err
    assert names() == ["a", "b"]


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        ([], ["month", "noted", "now", "week", "written", "year"]),
        (["--older-than", "30d"], ["noted", "now", "week", "written"]),
        (["--older-than", "200h"], ["noted", "now", "week", "written"]),
        (["--older-than", "1w"], ["noted", "now", "written"]),
        (["--keep", "2"], ["noted", "now", "written"]),
        (["--keep", "0"], ["written"]),
        (["--older-than", "2d", "--keep", "4"], ["month", "noted", "now", "week", "written"]),
    ],
)
def test_pruning_removes_the_empty_the_old_and_what_is_too_many(workbench, made, flags, left):
    for name, days in (("now", 0), ("week", 8), ("month", 31), ("year", 365), ("written", 400)):
        made(name, days)
    made("empty", 0, steps=0)
    made("noted", 0, steps=0)
    Session.open("noted").note("a plan")
    with Session.open("written", writable=True):
        for path in Session.open("written").folder.rglob("*"):
            os.utime(path, (time.time() - 400 * DAY,) * 2)
        assert workbench("sessions", "prune", *flags, "--yes").code == 0
    assert names() == left


def test_pruning_says_what_would_go_and_asks(workbench, made, monkeypatch):
    made("year", 365)
    outcome = workbench("sessions", "prune", "--older-than", "30d")
    assert outcome.code == 2
    assert "year: 2 steps" in outcome.err
    assert "add --yes" in outcome.err
    answering(monkeypatch, "n")
    assert workbench("sessions", "prune", "--older-than", "30d").code == 0
    assert names() == ["year"]
    assert "nothing to remove" in workbench("sessions", "prune").err
    for wrong in ("30", "d", "-1d", "30 days", "1.5d"):
        outcome = workbench("sessions", "prune", f"--older-than={wrong}")
        assert outcome.code == 2
        assert "as 12h, 30d or 8w" in outcome.err


def test_what_cannot_be_opened_or_read_is_not_pruned(workbench, made, sessions_folder):
    folder = made("damaged", 365, steps=1)
    (folder / "001-heads" / "step.json").write_text("{")
    made("newer", 365)
    (sessions_folder / "newer" / "session.json").write_text('{"schema": 99}')
    assert workbench("sessions", "prune", "--yes").code == 0
    assert names() == ["damaged", "newer"]
    assert workbench("sessions", "prune", "--keep", "0", "--yes").code == 0
    assert names() == ["newer"]


def test_what_a_killed_process_left_half_made_is_swept_up(workbench, sessions_folder):
    for name, days in ((".new-1-x", 2), (".removed-22-x", 2), (".new-2-x", 0), (".other", 9)):
        (sessions_folder / name).mkdir(parents=True)
        os.utime(sessions_folder / name, (time.time() - days * DAY,) * 2)
    assert workbench("sessions", "prune", "--yes").code == 0
    assert sorted(os.listdir(sessions_folder)) == [".new-2-x", ".other"]


def test_read_only_settings_keep_everything(workbench, made, monkeypatch):
    made("a", 365)
    monkeypatch.setenv("WORKBENCH_READONLY", "true")
    changing = (
        ["rm", "a", "--yes"],
        ["rename", "a", "b"],
        ["prune", "--keep", "0", "--yes"],
        ["note", "a", "mine"],
    )
    for command in changing:
        outcome = workbench("sessions", *command)
        assert outcome.code == 2
        assert "read-only" in outcome.err
    assert names() == ["a"]


@pytest.mark.parametrize("command", [["rename", "example:paper", "b"], ["rm", "example:paper"]])
def test_examples_are_not_changed(workbench, command):
    outcome = workbench("sessions", *command)
    assert outcome.code == 2
    assert "example:paper is an example and cannot be changed" in outcome.err


def test_counts_have_the_words_that_go_with_them(workbench, made):
    made("one", 99, steps=1)
    assert "one: 1 step, " in workbench("sessions", "rm", "one", "--yes").err


def test_a_bundle_becomes_a_session(workbench, made, tmp_path):
    made("a")
    pack(Session.open("a"), tmp_path / "a.zip")
    assert workbench("sessions", "import", tmp_path / "a.zip").code == 2
    outcome = workbench("sessions", "import", tmp_path / "a.zip", "--name", "b")
    assert outcome.code == 0
    assert "session b: 2 steps" in outcome.err
    assert names() == ["a", "b"]
    (tmp_path / "no.zip").write_text("no")
    outcome = workbench("sessions", "import", tmp_path / "no.zip")
    assert (outcome.code, outcome.out) == (2, "")
    assert "no.zip is damaged or no bundle" in outcome.err
