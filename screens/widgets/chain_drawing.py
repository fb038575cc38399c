"""The lines of a chain view as segments: nodes, edges, the answer."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style

from screens.chain_graph import ANSWER, DEEP, END, SHALLOW, ChainGraph, Edge
from screens.ramps import Ramp
from screens.text import cell_fit, number, probability
from screens.widgets.chain_layout import ANSWERS, HEADERS, NUMBER, ChainLayout
from screens.widgets.line_canvas import LineCanvas

HEADER = 2
"""Lines above the first row: the names of the stages, and a blank one."""
DIM = -1
"""The ink of what is not on the way through the cursor."""
QUIET = 2
"""Steps of the ramp, from either end, that lines are drawn in."""
HEAVY_FROM = 0.5
"""Share of the strongest edge between two stages from which an edge is drawn thick."""


@dataclass(frozen=True)
class AnswerLabel:
    """What stands at the end of a chain."""

    text: str = ""
    """Fit to be drawn."""
    prob: float | None = None
    without: float | None = None
    """Its probability without a node, where that is shown."""


@dataclass(frozen=True)
class Paint:
    """What a chain is drawn with."""

    style: Callable[[str], Style]
    """Of a part: header, dim, line, lit, cursor or mark."""
    ramp: Ramp
    glyphs: bool
    """Whether the terminal has too few colours for the ramp."""


class ChainDrawing:
    """One moment of a chain view.

    Args:
        graph: the chain.
        layout: where its nodes stand.
        cursor: the node whose way is lit; empty: none.
        marked: the nodes with a dot.
        answer: what stands at the end.
        paint: styles and colours.
    """

    def __init__(
        self,
        graph: ChainGraph,
        layout: ChainLayout,
        cursor: str,
        marked: Collection[str],
        answer: AnswerLabel,
        paint: Paint,
    ) -> None:
        self._graph, self._layout = graph, layout
        self._cursor, self._marked, self._answer = cursor, marked, answer
        self._ramp, self._glyphs = paint.ramp, paint.glyphs
        parts = ("header", "dim", "line", "lit", "cursor", "mark")
        self._style = {part: paint.style(part) for part in parts}
        self._lit = graph.way_through(cursor) if cursor else set()
        self._on_way = {name for edge in self._lit for name in (edge.start, edge.end)}
        self._cells: list[list[tuple[str, Style]]] = []

    def lines(self) -> list[list[Segment]]:
        """Headers, a blank line, and the rows."""
        layout = self._layout
        blank = (" ", self._style["line"])
        self._cells = [[blank] * layout.width for _ in range(HEADER + layout.height)]
        for stage, header in HEADERS.items():
            self._write(layout.columns[stage], -HEADER, header, self._style["header"])
        self._draw_edges()
        for name in self._graph.nodes:
            self._draw_node(name)
        return [[Segment(text, style) for text, style in row if text] for row in self._cells]

    def _draw_edges(self) -> None:
        canvas, layout = LineCanvas(), self._layout
        deep = self._cursor in self._graph.stage(DEEP)
        focus = self._cursor if deep else self._graph.root
        for edge, corners, arrow in layout.routes(self._graph, focus):
            lit, share = edge in self._lit, self._share(edge)
            canvas.line(
                corners,
                ink=self._level(share) if lit else DIM,
                strength=lit + abs(share) / 2,
                heavy=abs(share) >= HEAVY_FROM,
                dashed=edge.weight < 0,
                arrow=arrow,
            )
            if edge.end == ANSWER:
                text = number(edge.weight, 2 if abs(edge.weight) < 10 else 1, sign=True)
                style = self._ink(self._level(share)) if lit else self._style["dim"]
                left = layout.number_end - NUMBER
                self._write(left, layout.rows[edge.start], cell_fit(text, NUMBER, "right"), style)
        for y in range(layout.height):
            for x in range(layout.width):
                found = canvas.at(x, y)
                if found is not None:
                    self._write(x, y, found[0], self._ink(found[1]))

    def _draw_node(self, name: str) -> None:
        x, y = self._layout.place(self._graph, name)
        here = name == self._cursor
        style = self._style["cursor" if here else "lit" if name in self._on_way else "dim"]
        if here and self._glyphs:
            style += Style(reverse=True)
        if name in self._marked:
            self._write(x - 1, y, "●", self._style["mark"])
        if self._graph.nodes[name]["stage"] != END:
            self._write(x, y, self._layout.label(self._graph, name), style)
            return
        answer = self._answer
        self._write(x, y, cell_fit(answer.text, ANSWERS).rstrip(), style)
        self._write(x, y + 1, probability(answer.prob), style)
        if answer.without is not None and answer.prob is not None:
            level = self._level(answer.without - answer.prob)
            self._write(x, y + 2, f"→ {probability(answer.without)}", self._ink(level))

    def _share(self, edge: Edge) -> float:
        """An edge's weight as a share of the strongest between its stages."""
        largest = self._largest[self._kind(edge)]
        return edge.weight / largest if largest else 0.0

    def _kind(self, edge: Edge) -> tuple[int, int]:
        """The stages an edge joins; to a layer or past it to the head is one kind."""
        start, end = (self._graph.nodes[name]["stage"] for name in (edge.start, edge.end))
        return start, 0 if start == SHALLOW else end

    @cached_property
    def _largest(self) -> dict[tuple[int, int], float]:
        """The largest weight of each kind of edge."""
        largest: dict[tuple[int, int], float] = {}
        for edge in self._graph.edges:
            kind = self._kind(edge)
            largest[kind] = max(largest.get(kind, 0.0), abs(edge.weight))
        return largest

    def _level(self, share: float) -> int:
        """The step of the ramp for a share of the largest; the quiet steps around 0 are left out,
        since a thin line in them would not be seen."""
        level, last = self._ramp.index(share, -1.0, 1.0), len(self._ramp) - 1
        return min(level, QUIET) if share < 0 else max(level, last - QUIET)

    def _ink(self, level: int) -> Style:
        if level == DIM:
            return self._style["line"]
        lit = self._style["lit"]
        return lit + Style(bold=True) if self._glyphs else lit + self._ramp.inks[level]

    def _write(self, x: int, y: int, text: str, style: Style) -> None:
        """Put text into the cells from a place on; a wide character takes two."""
        row = self._cells[y + HEADER]
        for char in text:
            size = get_character_cell_size(char)
            if x + size > len(row):
                return
            if size:
                row[x : x + size] = [(char, style), *[("", style)] * (size - 1)]
            elif x > 0:  # an accent goes with the letter before it
                row[x - 1] = (row[x - 1][0] + char, style)
            x += size
