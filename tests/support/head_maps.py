"""A head map with its legend to look at: what it says, and what it draws in the cells of a head."""

from __future__ import annotations

from typing import Any

from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.message import Message

from screens.widgets.cell_grid import HEADER
from screens.widgets.cell_map import HeadMap
from screens.widgets.lines import Legend


class MapApp(App[None]):
    """One map with its legend, keeping what they say."""

    CSS = "HeadMap { height: 1fr; }"

    def __init__(self, layers: int, heads: int, glyphs: bool = False) -> None:
        super().__init__()
        self.map = HeadMap(layers, heads, glyphs=glyphs)
        self.legend = Legend(glyphs=glyphs)
        self.said: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.map
        yield self.legend

    def on_mount(self) -> None:
        self.map.focus()

    def on_cell_map_cell_highlighted(self, event: HeadMap.CellHighlighted) -> None:
        self.said.append(event)

    def on_cell_map_cell_selected(self, event: HeadMap.CellSelected) -> None:
        self.said.append(event)

    def heads(self, kind: type[Any]) -> list[str]:
        return [str(event.ref) for event in self.said if isinstance(event, kind)]


def cell(head_map: HeadMap, layer: int, head: int) -> list[Segment]:
    """The segments drawn in the cells of one head, without the gaps beside them."""
    layout = head_map.geometry
    x = layout.gutter + layer * layout.pitch - head_map.scroll_offset.x
    y = HEADER + layout.row_of(head) - head_map.scroll_offset.y
    strip = head_map.render_line(y).crop(x, x + layout.fill)
    return [Segment(char, segment.style) for segment in strip for char in segment.text]


def backgrounds(segments: list[Segment]) -> set[tuple[int, ...] | None]:
    return {
        tuple(segment.style.bgcolor.triplet)
        if segment.style and segment.style.bgcolor and segment.style.bgcolor.triplet
        else None
        for segment in segments
    }


def ink(segment: Segment) -> tuple[int, ...] | None:
    assert segment.style is not None
    color = segment.style.color
    return tuple(color.triplet) if color is not None and color.triplet else None
