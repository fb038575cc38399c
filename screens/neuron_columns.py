"""The columns of neuron rankings, for each kind of step that ranks neurons."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from screens.text import number, visible
from screens.widgets.table_column import TableColumn

_nats = partial(number, decimals=3)
_change = partial(number, decimals=3, sign=True)
_coefficient = partial(number, decimals=2)


def _tokens(value: Any) -> str:
    return " ".join(visible(token, quote=False) for token in value) if value else ""


NAME = TableColumn("name", "neuron", 10, sort_by=("layer", "neuron"), descending=False)
SAYS = TableColumn("tokens", "says", 14, format=_tokens, grow=True)
_IMPORTANCE = TableColumn("importance", "importance", 10, "right", _nats)
_COEFFICIENT = TableColumn("coefficient", "coefficient", 11, "right", _coefficient)
_CHANGE = TableColumn("importance_change", "change", 8, "right", _change)
_CONCEPTS = TableColumn("concepts", "concepts", 8, "right")
COLUMNS = {
    "neurons": [NAME, _IMPORTANCE, _COEFFICIENT, SAYS],
    "cna": [
        NAME,
        _CHANGE,
        _IMPORTANCE,
        TableColumn("importance_contrast", "contrast", 8, "right", _nats, min_terminal_width=100),
        replace(_COEFFICIENT, min_terminal_width=70),
        TableColumn(
            "coefficient_contrast", "contrast", 8, "right", _coefficient, min_terminal_width=110
        ),
        SAYS,
    ],
    "hidden": [
        NAME,
        _CONCEPTS,
        TableColumn("through", "through", 7, "right"),
        TableColumn("direct", "direct", 6, "right"),
        TableColumn("found", "concepts found", 24, format=_tokens, min_terminal_width=110),
        SAYS,
    ],
}
VALUES: dict[str, tuple[TableColumn, list[TableColumn]]] = {
    "neurons": (_IMPORTANCE, [_COEFFICIENT]),
    "cna": (_CHANGE, []),
    "hidden": (_CONCEPTS, []),
}
"""For each kind what it ranks by, and what else of two rankings is compared where there is room."""
