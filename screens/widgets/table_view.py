"""How a table is looked at, as JSON that can be kept and put back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from screens.widgets.frame_table import FrameTable


def view_of(table: FrameTable) -> dict[str, Any]:
    """Cursor, order, filter and marks."""
    return {
        "cursor": table.current_key,
        "sort": table.sorted_by,
        "descending": table.descending,
        "filter": table.filter_text,
        "marked": sorted(table.marked),
    }


def put_back(table: FrameTable, view: Mapping[str, Any]) -> None:
    """Look at the rows that way, as far as the view fits them; an empty one: as at first."""
    text, order, cursor = (view.get(name) for name in ("filter", "sort", "cursor"))
    if not isinstance(text, str) or table.filter(text) is not None:
        table.filter("")
    known = isinstance(order, str) and table.has_column(order)
    table.sort(order if known else None, view.get("descending") is True)
    table.set_marked(table.known(strings(view.get("marked"))))
    if isinstance(cursor, str):
        table.move_to(cursor)


def strings(value: Any) -> list[str]:
    """The texts in a list of untrusted JSON; nothing if it is no list."""
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
