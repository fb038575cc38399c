"""How rows agree, as `replay --check` and `sessions diff` tell it."""

from __future__ import annotations

import math
from typing import Any

from screens.text import one_line
from sessions.compare import TOP, Agreement


def document(found: Agreement) -> dict[str, Any]:
    """As JSON, which knows no infinity: that difference is null."""
    return {
        "rows": found.rows,
        "missing": found.missing,
        "added": found.added,
        "difference": found.difference if math.isfinite(found.difference) else None,
        "column": found.column,
        "top": found.top,
        "moved": found.moved,
        "entered": list(found.entered),
        "left": list(found.left),
    }


def cells(found: Agreement) -> dict[str, str]:
    """The same in a few words for a table."""
    once = [f"−{found.missing}"] * bool(found.missing) + [f"+{found.added}"] * bool(found.added)
    return {
        "rows": " ".join([str(found.rows), *once]),
        "difference": f"{found.difference:.1e}" if found.difference else "0",
        "in": found.column or "",
        f"top {TOP}": _places(found),
    }


def _places(found: Agreement) -> str:
    """What became of the top rows: how many moved, which came and went."""
    if not found.moved and not found.entered:
        return "as it was"
    changes = [*(f"+{name}" for name in found.entered), *(f"−{name}" for name in found.left)]
    return one_line(" ".join([f"{found.moved} of {found.top} moved", *changes]))
