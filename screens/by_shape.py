"""Which view shows the rows of which shape."""

from __future__ import annotations

from analysis.shapes import Shape
from screens.attention_view import AttentionView
from screens.contexts import ContextsView
from screens.views import (
    CurveView,
    EndsView,
    HeadsView,
    PositionsView,
    RowsView,
    ShapeView,
    TextView,
)

VIEWS: dict[Shape, type[ShapeView]] = {
    "heads": HeadsView,
    "positions": PositionsView,
    "neurons": RowsView,
    "tokens": EndsView,
    "contexts": ContextsView,
    "curve": CurveView,
    "graph": RowsView,
    "text": TextView,
    "attention": AttentionView,
    "table": RowsView,
}
