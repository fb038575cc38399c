"""`workbench doctor`: what is well on this machine, and what to do about the rest."""

from __future__ import annotations

import os
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from terminals import WORKBENCH, plain_environment, terminal

from workbench import __version__
from workbench.health import machine, terminal_facts

VARIABLES = ("TERM", "COLORTERM", "NO_COLOR", "TMUX", "STY", "SSH_CONNECTION")
LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")


@pytest.fixture(autouse=True)
def _no_terminal(monkeypatch):
    for name in (*VARIABLES, *LOCALE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def facts(monkeypatch):
    """The terminal's facts where the environment says so much."""

    def told(**environment: str):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return terminal_facts()

    return told


def test_it_tells_of_this_machine(workbench):
    report = workbench("doctor", "--json").document
    assert report["Workbench"]["version"] == __version__
    assert set(report) == {"Workbench", "Libraries", "Machine", "Terminal", "Places", "Advice"}
    assert {"about": "Places: smollm2-135m", "state": "advice"}.items() <= report["Advice"][
        -1
    ].items()
    assert report["Advice"][-1]["do"] == "workbench models fetch smollm2-135m"


@pytest.mark.parametrize(
    ("environment", "value", "advice"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "16.7 million, by COLORTERM", None),
        ({"TERM": "xterm-256color"}, "256, by TERM=xterm-256color", None),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, "256, by TERM", None),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "none, by NO_COLOR", None),
        ({"TERM": "xterm"}, "16, by TERM=xterm", "export TERM=xterm-256color"),
        ({}, "16, as TERM is not set", "export TERM=xterm-256color"),
        ({"TERM": "linux"}, "16, by TERM=linux", None),
        ({"TERM": "screen", "STY": "1.a"}, "16, by TERM=screen", "term screen-256color"),
        ({"TERM": "screen", "TMUX": "a,1,0"}, "16, by", 'set -g default-terminal "tmux-256color"'),
        ({"TERM": "dumb"}, "TERM=dumb: the UI does not open", "export TERM=xterm-256color"),
    ],
)
def test_colours_are_told_with_what_decides_them(facts, environment, value, advice):
    fact = facts(**environment)["colours"]
    assert fact.value.startswith(value)
    assert fact.advice is None if advice is None else advice in fact.advice
    assert fact.mark == ("ok" if advice is None else "advice")


def test_the_clipboard_depends_on_what_lies_between(facts, tmp_path, monkeypatch):
    assert facts()["clipboard"].advice is None
    assert "screen takes nothing" in facts(STY="1.a")["clipboard"].value
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    ways = {
        "echo 256,clipboard,title": ("through tmux the terminal's clipboard", None),
        "echo 256,title": ("tmux's buffer", "terminal-features ',*:clipboard'"),
        "exit 1": ("tmux does not answer", "is tmux there?"),
    }
    tmux = tmp_path / "tmux"
    for answer, (way, advice) in ways.items():
        tmux.write_text(f"#!/bin/sh\n{answer}\n")
        tmux.chmod(0o755)
        fact = facts(TMUX="a,1,0")["clipboard"]
        assert way in fact.value
        assert fact.advice is None if advice is None else advice in fact.advice


@pytest.mark.parametrize(
    ("environment", "fine"),
    [
        ({"LANG": "C.UTF-8"}, True),
        ({"LC_ALL": "de_DE.utf8", "LANG": "C"}, True),
        ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
        ({}, False),
    ],
)
def test_a_locale_that_is_not_utf_8_is_said(facts, environment, fine):
    assert (facts(**environment)["characters"].advice is None) == fine


@pytest.mark.parametrize(
    ("size", "advice"),
    [((59, 15), "needs 60×15"), ((60, 15), "80×24 or more"), ((80, 24), "✓ size")],
)
def test_a_terminal_that_is_small_is_said(size, advice):
    with terminal("doctor", size=size) as workbench:
        assert workbench.ends() == 0
        assert f"{size[0]}×{size[1]}" in workbench.text
        assert advice in workbench.text
        assert max(len(line) for line in workbench.text.splitlines() if "→" in line) <= 80


def test_a_driver_that_torch_cannot_use_is_said_with_what_to_install(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert machine()["Machine"]["GPU"].value == "none; models run on the CPU"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda=None, hip=None))
    assert "a torch for CUDA" in machine()["Machine"]["GPU"].advice
    monkeypatch.setattr(torch, "version", SimpleNamespace(cuda="13.0", hip=None))
    assert "a newer driver, or a torch for an older CUDA than 13.0" in (
        machine()["Machine"]["GPU"].advice
    )


def test_a_sessions_folder_that_cannot_be_written_ends_it_with_1_behind_the_report(
    workbench, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("WORKBENCH_DATA", str(tmp_path / "file"))
    outcome = workbench("doctor", "--json")
    assert outcome.code == 1
    assert outcome.err == "workbench: this cannot work as it is: Places: sessions\n"
    (broken,) = [each for each in outcome.document["Advice"] if each["state"] == "broken"]
    assert "export WORKBENCH_DATA=DIR" in broken["do"]


def test_letters_that_the_locale_lacks_are_written_in_another_way():
    done = subprocess.run(
        [*WORKBENCH, "doctor"],
        env=plain_environment(PYTHONIOENCODING="ascii"),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u2713 cores" in done.stdout
