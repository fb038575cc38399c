"""How rows agree, as `replay --check` and `sessions diff` tell it."""

from __future__ import annotations

import math
from typing import Any

from screens.text import one_line
from sessions.compare import TOP, Agreement


def document(found: Agreement | None) -> dict[str, Any]:
    """As JSON, which knows no infinity: that difference is null; so is all that is not compared."""
    if found is None:
        return dict.fromkeys(document(Agreement(0, 0, 0, 0.0)))
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


def cells(found: Agreement | None) -> dict[str, str]:
    """The same in a few words for a table."""
    if found is None:
        return {"rows": "·", "largest difference": "not compared", f"top {TOP}": "·"}
    once = [f"−{found.missing}"] * bool(found.missing) + [f"+{found.added}"] * bool(found.added)
    largest = f"{found.difference:.1e} {found.column}" if found.difference else "0"
    return {
        "rows": " ".join([str(found.rows), *once]),
        "largest difference": largest,
        f"top {TOP}": f"{found.moved} moved" if found.moved else "as it was",
    }


def newcomers(found: Agreement | None) -> str:
    """Which rows came to the top and which left it; empty if none did."""
    if found is None or not (found.entered or found.left):
        return ""
    came, went = (", ".join(names) or "none" for names in (found.entered, found.left))
    return one_line(f"new in the top {found.top}: {came}; no longer there: {went}")
