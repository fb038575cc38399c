"""What shells offer at `tab`, asked as their scripts ask and, in bash, by its own script."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

import pytest

from sessions import Session

PROGRAM = """
import sys

sys.modules |= dict.fromkeys(("torch", "transformers", "peft", "textual"))  # too slow for a key
sys.argv = ["workbench", *sys.argv[1:]]
from workbench.cli import main

main()
"""


def run(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout


def in_bash(line: str) -> list[str]:
    words = line.split(" ")
    return run(
        _WORKBENCH_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    ).split()


def in_zsh(line: str) -> list[str]:
    told = run(_WORKBENCH_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=line)
    return [each.replace("\\\\:", ":") for each in re.findall(r'^.*?"(.*?)"', told, re.MULTILINE)]


def in_fish(line: str) -> list[str]:
    return run(
        _WORKBENCH_COMPLETE="complete_fish",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
        _TYPER_COMPLETE_ARGS=line,
    ).split()


@pytest.fixture
def mine(tiny_model):
    with Session.create("mine", tiny_model.info, seed=0):
        pass


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("workbench rep", ["replay"]),
        ("workbench replay ", ["mine", "example:addition", "example:ioi", "example:paper"]),
        ("workbench replay example:a", ["example:addition"]),
        ("workbench resume m", ["mine"]),
        ("workbench sessions rm mi", ["mine"]),
        ("workbench heads --session m", ["mine"]),
        ("workbench heads --model s", ["smollm2-135m"]),
        ("workbench heads --task add", ["add1", "add2", "add3"]),
        ("workbench heads --task add1,gender", ["add1,gender", "add1,gender-pronoun"]),
        ("workbench paper --table T5,F", ["T5,F1", "T5,F2"]),
        ("workbench heads --dtype b", ["bfloat16"]),
        ("workbench heads --mode m", ["mean"]),
    ],
)
def test_names_are_offered_without_loading_what_is_slow(mine, line, offered):
    assert in_bash(line) == offered


@pytest.mark.parametrize("asked", [in_zsh, in_fish])
def test_other_shells_are_offered_the_same(mine, asked):
    assert asked("workbench replay ") == [
        "mine",
        "example:addition",
        "example:ioi",
        "example:paper",
    ]


def test_the_script_for_bash_completes_what_is_typed(mine, tmp_path):
    program = tmp_path / "workbench"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m workbench "$@"\n')
    program.chmod(0o755)
    script = run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    typed = f"""
{script}
COMP_WORDS=(workbench replay mi); COMP_CWORD=2
_workbench_completion {shlex.quote(str(program))}
echo "${{COMPREPLY[@]}}"; complete -p workbench
"""
    done = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "mine",
        "complete -o default -F _workbench_completion workbench",
    ], done.stderr
