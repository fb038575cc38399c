"""A scrolling map of heads with a cursor that keys move, layers to the right, heads down."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import BindingType
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from analysis.refs import HeadRef
from screens.keys import shipped, unlisted


class HeadCursor(ScrollView, can_focus=True):
    """The part of a head map that knows places but not what they show."""

    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted("left,h", "move(-1, 0)", "Layer before", id="map.layer-before"),
            unlisted("right,l", "move(1, 0)", "Layer after", id="map.layer-after"),
            unlisted("up,k", "move(0, -1)", "Head above", id="map.head-above"),
            unlisted("down,j", "move(0, 1)", "Head below", id="map.head-below"),
            unlisted("pageup", "move(0, -8)", "Eight heads up", id="map.eight-heads-up"),
            unlisted("pagedown", "move(0, 8)", "Eight heads down", id="map.eight-heads-down"),
            unlisted("home", "layer('first')", "First layer", id="map.first-layer"),
            unlisted("end", "layer('last')", "Last layer", id="map.last-layer"),
            unlisted("g", "corner('first')", "First head", id="map.first-head"),
            unlisted("G", "corner('last')", "Last head", id="map.last-head"),
            unlisted("enter", "select", "Open", system=True, id="map.open"),
        ],
    )
    ALLOW_SELECT = False

    cursor: reactive[HeadRef] = reactive(HeadRef(0, 0), repaint=False)
    """The head under the cursor."""

    @property
    def shape(self) -> tuple[int, int]:
        """Layers and heads."""
        raise NotImplementedError

    def validate_cursor(self, head: HeadRef) -> HeadRef:
        """Keep the cursor on the map."""
        layers, heads = self.shape
        return HeadRef(
            max(0, min(head.layer, layers - 1)),
            max(0, min(head.index, heads - 1)),
        )

    def action_move(self, layers: int, heads: int) -> None:
        """Move the cursor by so many layers and heads, as far as the map goes."""
        layer, head = self.cursor.layer + layers, self.cursor.index + heads
        self.cursor = HeadRef(max(0, layer), max(0, head))

    def action_layer(self, end: str) -> None:
        """Go to the first or last layer of the same head index."""
        self.cursor = HeadRef(0 if end == "first" else self.shape[0], self.cursor.index)

    def action_corner(self, end: str) -> None:
        """Go to the first or last head of the model."""
        self.cursor = HeadRef(0, 0) if end == "first" else HeadRef(*self.shape)

    def action_select(self) -> None:
        """Choose the head under the cursor."""
        raise NotImplementedError
