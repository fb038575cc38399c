"""What tests of plans share."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
import replays
from command_lines import files_of

from sessions import Session


@pytest.fixture
def plan(tmp_path):
    """Writes a plan of steps."""

    def write(*steps: str, top: str = "", name: str = "night") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(top + "".join(f"\n[[step]]\n{each}\n" for each in steps), "utf-8")
        return path

    return write


@pytest.fixture
def tiny(tiny_folder):
    """Options for the tiny model."""
    return ["--model", str(tiny_folder), "--device", "cpu"]


@pytest.fixture
def refused(workbench, sessions_folder):
    """Runs a command that must be refused in one line, with nothing recorded; gives the line."""

    def run(*arguments: str | Path, code: int = 2) -> str:
        before = files_of(sessions_folder)
        outcome = workbench(*arguments)
        assert (outcome.code, outcome.out) == (code, ""), outcome.err
        assert outcome.err.startswith("workbench: ")
        assert outcome.err.endswith("\n")
        (line,) = outcome.err.splitlines()
        assert files_of(sessions_folder) == before
        return line.removeprefix("workbench: ")

    return run


@pytest.fixture
def replaying(tiny_folder):
    """Makes a workbench that replays a session, and goes live on the tiny model."""
    return partial(replays.replaying, model=str(tiny_folder), device="cpu")


@pytest.fixture(scope="session")
def hostile_session(tiny_model, tmp_path_factory) -> Path:
    """The folder of a session whose texts would like to be markup."""
    from handed_on import record_hostile

    data = tmp_path_factory.mktemp("hostile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_DATA", str(data))
        record_hostile(tiny_model)
    return data / "sessions" / "mine"


@pytest.fixture
def recorded(hostile_session, sessions_folder) -> Session:
    """That session, called `mine`, for one test to do with as it likes."""
    shutil.copytree(hostile_session, sessions_folder / "mine")
    return Session.open("mine")
