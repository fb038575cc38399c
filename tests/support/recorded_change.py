"""What SmolLM2 came to on screen 6: neurons of gender found, zeroed and measured; LoRA trained."""

from __future__ import annotations

import shutil
from pathlib import Path

from screens.workspace import Workspace
from sessions import Session
from sessions.paths import root

FOLDER = Path(__file__).parent / "sessions" / "change"
KINDS = ("pairs", "evaluate", "lora")
"""Of its steps, in order."""


def shown(workspace: Workspace, kind: str) -> Session:
    """Put its results into a workspace up to the one of a kind."""
    place = root() / FOLDER.name
    shutil.copytree(FOLDER, place, dirs_exist_ok=True)
    session = Session.open(FOLDER.name)
    workspace.replay(session)
    del workspace.results[KINDS.index(kind) + 1 :]
    workspace.replay_place = KINDS.index(kind)
    return session
