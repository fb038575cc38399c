"""The status line in words."""

from __future__ import annotations

import psutil

from screens.widgets.status_line import Severity, StatusItem
from screens.workspace import Workspace


def status_items(workspace: Workspace) -> list[StatusItem]:
    """Model, parity, memory, session: most important first."""
    model = workspace.model
    items: list[StatusItem] = []
    level: Severity
    if model is None:
        level = "error" if workspace.model_failed else "warn"
        items.append(StatusItem(workspace.model_status, level))
    else:
        worn = f" wearing {model.adapter}" if model.adapter else ""
        items.append(StatusItem(f"{model.name}{worn} {model.precision} {model.device}"))
        worst = f"parity {model.parity.worst:.0e}".replace("e-0", "e-").replace("-", "−")
        items.append(StatusItem(worst, "ok" if model.parity_holds else "error", importance=3))
    if workspace.following:
        level = "ok" if workspace.following.startswith("following") else "warn"
        items.append(StatusItem(workspace.following, level, importance=5))
    if workspace.session is not None:
        mark = "replay" if workspace.replaying else "session"
        items.append(StatusItem(f"{mark} {workspace.session.name}", importance=2))
    # What waits for the live session has no part in a replay.
    if not workspace.replaying and (staged := workspace.staged.changes):
        use = ", in use" if workspace.staged.in_use else ""
        words = f"{len(staged)} change{'s' if len(staged) > 1 else ''} staged{use}"
        level = "warn" if workspace.staged.unsaved else "ok"
        items.append(StatusItem(words, level, importance=4))
    if not workspace.replaying:
        running = workspace.running
        more = f" +{running.memory / 1e9:.1f}" if running is not None and running.memory else ""
        items.append(StatusItem(memory_words() + more, importance=1))
    return items


def memory_words() -> str:
    """What this program takes of the machine's memory."""
    memory = psutil.virtual_memory()
    own = psutil.Process().memory_info().rss
    return f"{own / 1e9:.1f} of {memory.total / 1e9:.0f} GB"
