"""Workspaces with nothing measured, and workbenches with a recorded session on their screens."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from analysis.tasks.standard import task
from screens.workspace import Workspace
from sessions import Session, examples_root
from sessions.paths import root
from workbench.app import WorkbenchApp
from workbench.settings import load_settings


def unmeasured(**given: Any) -> Workspace:
    """A workspace on one-digit sums behind two worked examples."""
    return Workspace(task("add1", shots=2), **given)


def replay_of(session: Session | str = "example:addition", at: str | None = None) -> Workspace:
    """A workspace that replays a session.

    Args:
        session: it, or its name.
        at: which step is in front; None: the one that opening it leads to.
    """
    workspace = unmeasured()
    workspace.replay(session if isinstance(session, Session) else Session.open(session))
    if at is not None:
        workspace.replay_place = [each.name for each in workspace.results].index(at)
    return workspace


def replaying(
    session: Session | str = "example:addition", at: str | None = None, **settings: Any
) -> WorkbenchApp:
    """A workbench that replays a session; further arguments are its settings."""
    workspace, chosen = replay_of(session, at), load_settings(**settings)
    workspace.readonly = chosen.readonly
    return WorkbenchApp(workspace, chosen)


def own_example(name: str = "mine") -> Path:
    """Copy the example on addition to the sessions of the test; gives the folder."""
    return Path(shutil.copytree(examples_root() / "addition", root() / name))
