"""What SmolLM2 came to on screen 6: neurons of gender found, zeroed and measured; LoRA trained."""

from __future__ import annotations

import shutil
from pathlib import Path

from replays import replay_of

from screens.workspace import Workspace
from sessions import Session
from sessions.paths import root

FOLDER = Path(__file__).parent / "sessions" / "change"
KINDS = ("pairs", "evaluate", "lora")
"""Of its steps, in order."""


def open_change() -> Session:
    """The session, among those of the test."""
    place = root() / FOLDER.name
    # Of now, not of the checkout: sessions are listed by their age.
    shutil.copytree(FOLDER, place, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return Session.open(FOLDER.name)


def shown(kind: str) -> Workspace:
    """A workspace with its results up to the one of a kind."""
    workspace = replay_of(open_change())
    del workspace.results[KINDS.index(kind) + 1 :]
    workspace.replay_place = KINDS.index(kind)
    return workspace
