"""The chain as a drawing: four columns of nodes, lines between them, a cursor that walks along."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.chain_graph import ChainGraph
from screens.keys import shipped, unlisted
from screens.ramps import change_ramp, needs_glyphs
from screens.widgets.chain_drawing import HEADER, AnswerLabel, ChainDrawing, Paint
from screens.widgets.chain_layout import ChainLayout
from screens.widgets.told import Told


class ChainView(ScrollView, can_focus=True):
    """A chain with a cursor; the way through the node under it is lit, the rest is dim."""

    DEFAULT_CSS = """
    ChainView {
        width: 1fr;
        height: 1fr;
        scrollbar-size: 0 0;
        background: transparent;
        & > .chain-view--header { color: $text-muted; }
        & > .chain-view--dim { color: $foreground 65%; }
        & > .chain-view--line { color: $foreground 30%; }
        & > .chain-view--lit { color: $foreground; }
        & > .chain-view--cursor { color: $accent; text-style: bold; }
        & > .chain-view--mark { color: $accent; }
    }
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chain-view--header",
        "chain-view--dim",
        "chain-view--line",
        "chain-view--lit",
        "chain-view--cursor",
        "chain-view--mark",
    }
    BINDINGS: ClassVar[list[BindingType]] = shipped(
        [
            unlisted(
                "left,h", "follow(False)", "What feeds it most", id="drawing.what-feeds-it-most"
            ),
            unlisted(
                "right,l", "follow(True)", "What it feeds most", id="drawing.what-it-feeds-most"
            ),
            unlisted("up,k", "move(-1)", "Node above", id="drawing.node-above"),
            unlisted("down,j", "move(1)", "Node below", id="drawing.node-below"),
            unlisted(
                "home,g", "end(0)", "First node of the stage", id="drawing.first-node-of-the-stage"
            ),
            unlisted(
                "end,G", "end(-1)", "Last node of the stage", id="drawing.last-node-of-the-stage"
            ),
            unlisted("enter", "select", "Open", system=True, id="drawing.open"),
        ],
    )
    ALLOW_SELECT = False

    cursor: reactive[str] = reactive("", repaint=False)
    """Name of the node under the cursor; empty while there is none."""

    class NodeHighlighted(Told["ChainView"]):
        """The cursor reached a node."""

        def __init__(self, view: ChainView, name: str) -> None:
            super().__init__(view)
            self.name = name

    class NodeSelected(NodeHighlighted):
        """A node was chosen by enter or a double click."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._graph: ChainGraph | None = None
        self._layout: ChainLayout | None = None
        self._answer = AnswerLabel()
        self._marked: frozenset[str] = frozenset()
        self._strips: list[list[Segment]] = []

    def set_chain(self, graph: ChainGraph, answer: str, prob: float | None) -> None:
        """Show a chain; the cursor stays where it was, else it goes to the head.

        Args:
            graph: the chain.
            answer: the answer's text, fit to be drawn.
            prob: its probability.
        """
        self._graph = graph
        self._answer = AnswerLabel(answer, prob, self._answer.without)
        self._layout = None  # of another chain: not to be drawn with this one
        if self.cursor not in graph.nodes:
            self.cursor = graph.head or next(iter(graph.nodes), "")
        self._fit()

    def set_without(self, prob: float | None) -> None:
        """Show below the answer what its probability becomes; None: only what it is."""
        if prob != self._answer.without:
            self._answer = replace(self._answer, without=prob)
            self._redraw()

    def set_marked(self, names: Iterable[str]) -> None:
        """Mark these nodes with a dot, and no others."""
        self._marked = frozenset(names)
        self._redraw()

    def validate_cursor(self, cursor: str) -> str:
        """Keep the cursor on a node."""
        if self._graph is None or not cursor or cursor in self._graph.nodes:
            return cursor
        return self.cursor

    def watch_cursor(self) -> None:
        """Light another way, and tell whom it concerns."""
        self._redraw()
        self._show_cursor()
        if self.cursor:
            self.post_message(self.NodeHighlighted(self, self.cursor))

    def on_resize(self) -> None:
        """Spread the columns anew."""
        self._fit()

    def notify_style_update(self) -> None:
        """Paint anew when theme or styles change."""
        super().notify_style_update()
        self._redraw()

    def _fit(self) -> None:
        if self._graph is None or not self.size.width:
            return
        self._layout = ChainLayout.fit(self._graph, self.size.width, self.size.height - HEADER)
        self.virtual_size = Size(self._layout.width, self._layout.height + HEADER)
        self._redraw()
        self.call_after_refresh(self._show_cursor)

    def _show_cursor(self) -> None:
        if self._graph is None or self._layout is None or not self.cursor:
            return
        x, y = self._layout.place(self._graph, self.cursor)
        stage = self._graph.nodes[self.cursor]["stage"]
        wide = self._layout.widths[stage]
        left, top = self.scroll_offset
        width, height = self.size.width, self.size.height - HEADER
        left = min(max(left, x + wide + 1 - width), max(0, x - 1))
        top = min(max(top, y + 1 - height), y)
        if (left, top) != self.scroll_offset:
            self.scroll_to(left, top, animate=False)

    def _redraw(self) -> None:
        self._strips = []
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One line: the names of the stages stay on top."""
        width = self.size.width
        if self._graph is None or self._layout is None or not self.is_attached:
            return Strip.blank(width, self._blank)
        if not self._strips:
            self._strips = self._lines(self._graph, self._layout)
        left, top = self.scroll_offset
        line = y if y < HEADER else y + top
        if line >= len(self._strips):
            return Strip.blank(width, self._blank)
        shown = Strip(self._strips[line]).crop(left, left + width)
        return shown.adjust_cell_length(width, self._blank)

    def _lines(self, graph: ChainGraph, layout: ChainLayout) -> list[list[Segment]]:
        paint = Paint(
            style=lambda part: self.get_component_rich_style(f"chain-view--{part}"),
            ramp=change_ramp(self.app.current_theme.dark),
            glyphs=needs_glyphs(self.app),
        )
        drawing = ChainDrawing(graph, layout, self.cursor, self._marked, self._answer, paint)
        return drawing.lines()

    @property
    def _blank(self) -> Style:
        _, background = self.background_colors
        return Style(bgcolor=background.rich_color)

    def action_follow(self, onwards: bool) -> None:
        """Go along the strongest edge, onwards or back."""
        if self._graph is not None and self.cursor:
            step = self._graph.onwards if onwards else self._graph.back
            self.cursor = step(self.cursor) or self.cursor

    def _column(self) -> list[str]:
        """The nodes of the cursor's stage from top to bottom."""
        assert self._graph is not None
        assert self._layout is not None
        names = self._graph.stage(self._graph.nodes[self.cursor]["stage"])
        return sorted(names, key=self._layout.rows.__getitem__)

    def action_move(self, by: int) -> None:
        """Go up or down within the stage."""
        if self._layout is not None and self.cursor:
            column = self._column()
            place = column.index(self.cursor) + by
            self.cursor = column[min(max(place, 0), len(column) - 1)]

    def action_end(self, place: int) -> None:
        """Go to the first or the last node of the stage."""
        if self._layout is not None and self.cursor:
            self.cursor = self._column()[place]

    def action_select(self) -> None:
        """Choose the node under the cursor."""
        if self.cursor:
            self.post_message(self.NodeSelected(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Go to a node; a second click chooses it."""
        place = event.get_content_offset(self)
        if place is None or self._graph is None or self._layout is None:
            return
        x = place.x + self.scroll_offset.x
        y = place.y + self.scroll_offset.y - HEADER
        for name in self._graph.nodes:
            left, row = self._layout.place(self._graph, name)
            wide = self._layout.widths[self._graph.nodes[name]["stage"]]
            if row == y and left <= x < left + wide:
                self.cursor = name
                if event.chain == 2:
                    self.action_select()
