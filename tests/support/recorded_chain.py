"""A chain of SmolLM2 for "3 + 5 = " behind two worked examples, around L20H8 and around L13H4."""

from __future__ import annotations

import shutil
from pathlib import Path

from screens.workspace import Result
from sessions import Session
from sessions.paths import root

FOLDER = Path(__file__).parent / "sessions" / "chain"


def open_chain() -> Session:
    """The session, among those of the test."""
    place = root() / FOLDER.name
    # Of now, not of the checkout: sessions are listed by their age.
    shutil.copytree(FOLDER, place, copy_function=shutil.copyfile, dirs_exist_ok=True)
    return Session.open(FOLDER.name)


def recorded_result(number: int = 1) -> Result:
    """One of its chains."""
    session = open_chain()
    return Result.read(session.step(number), session.info.model)
