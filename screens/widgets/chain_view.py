"""The chain as a drawing: four columns of nodes, lines between them, a cursor that walks along."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from screens.colours import Ramp, change_ramp, needs_glyphs
from screens.keys import shipped, unlisted
from screens.text import cell_fit, number, probability
from screens.widgets import WidgetMessage
from screens.widgets.chain_layout import ANSWERS, NUMBER
from screens.widgets.node_graph import Edge, NodeGraph, NodeLayout

UP, RIGHT, DOWN, LEFT = range(4)
_STEPS = {(0, -1): UP, (1, 0): RIGHT, (0, 1): DOWN, (-1, 0): LEFT}
# By the weights of the four arms in base 3, up first: nothing, light, heavy.
_JOINTS = " ╴╸╷┐┑╻┒┓╶─╾┌┬┭┎┰┱╺╼━┍┮┯┏┲┳╵┘┙│┤┥╽┧┪└┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
_DASHED = {"─": "╌", "━": "╍", "│": "╎", "┃": "╏"}
LIGHT, HEAVY = 1, 2


@dataclass(slots=True)
class _Cell:
    arms: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    strength: float = float("-inf")
    ink: int = 0
    dashed: bool = True
    arrow: str = ""


class LineCanvas:
    """Cells that lines pass through; a cell has the ink of the strongest line in it."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}

    def line(
        self,
        corners: Sequence[tuple[int, int]],
        *,
        ink: int,
        strength: float,
        heavy: bool = False,
        dashed: bool = False,
        arrow: str = "",
    ) -> None:
        """Draw a line along (x, y) corners, each in one column or one line with the next.

        Args:
            corners: where it begins, turns and ends.
            ink: what the caller paints it with.
            strength: lines of greater strength keep their ink where they meet.
            heavy: draw it thick.
            dashed: draw it broken where no whole line shares its cells.
            arrow: what stands at its end.
        """
        weight = HEAVY if heavy else LIGHT
        places = _places(corners)
        for here, there in itertools.pairwise(places):
            way = _STEPS[there[0] - here[0], there[1] - here[1]]
            for place, arm in ((here, way), (there, (way + 2) % 4)):
                cell = self._cells.setdefault(place, _Cell())
                cell.arms[arm] = max(cell.arms[arm], weight)
                cell.dashed = cell.dashed and dashed
                if strength > cell.strength:
                    cell.strength, cell.ink = strength, ink
        # An end touches what it leads to with its whole cell.
        for end, beside in ((places[0], places[1]), (places[-1], places[-2])):
            way = _STEPS[end[0] - beside[0], end[1] - beside[1]]
            self._cells[end].arms[way] = max(self._cells[end].arms[way], weight)
        if arrow:
            self._cells[places[-1]].arrow = arrow

    def at(self, x: int, y: int) -> tuple[str, int] | None:
        """The character of a cell and its ink; None where no line passes."""
        cell = self._cells.get((x, y))
        if cell is None:
            return None
        if cell.arrow:
            return cell.arrow, cell.ink
        up, right, down, left = cell.arms
        joint = _JOINTS[((up * 3 + right) * 3 + down) * 3 + left]
        return (_DASHED.get(joint, joint) if cell.dashed else joint), cell.ink


def _places(corners: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every cell along the corners, each once."""
    places = list(corners[:1])
    for x, y in corners[1:]:
        while places[-1] != (x, y):
            before_x, before_y = places[-1]
            step_x = (x > before_x) - (x < before_x)
            step_y = 0 if step_x else (y > before_y) - (y < before_y)
            places.append((before_x + step_x, before_y + step_y))
    return places


HEADER = 2
"""Lines above the first row: the names of the stages, and a blank one."""
DIM = -1
"""The ink of what is not on the way through the cursor."""
FAINT = 1_000
"""Added to the ink of what is estimated."""
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
        graph: NodeGraph,
        layout: NodeLayout,
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
        for x, header in layout.headers:
            self._write(x, -HEADER, header, self._style["header"])
        self._draw_edges()
        for name in self._graph.nodes:
            self._draw_node(name)
        return [[Segment(text, style) for text, style in row if text] for row in self._cells]

    def _draw_edges(self) -> None:
        canvas, layout = LineCanvas(), self._layout
        for edge, corners, arrow in layout.routes(self._graph, self._cursor):
            lit, share = edge in self._lit, self._share(edge)
            faint = FAINT if edge.estimated else 0
            canvas.line(
                corners,
                ink=self._level(share) + faint if lit else DIM,
                strength=lit + abs(share) / 2,
                heavy=abs(share) >= HEAVY_FROM,
                dashed=self._graph.dashed(edge),
                arrow=arrow,
            )
            if (end := layout.number_end(edge)) is not None:
                text = number(edge.weight, 2 if abs(edge.weight) < 10 else 1, sign=True)
                style = self._ink(self._level(share)) if lit else self._style["dim"]
                row = layout.rows[edge.start]
                self._write(end - NUMBER, row, cell_fit(text, NUMBER, "right"), style)
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
        if not self._graph.ends(name):
            self._write(x, y, self._layout.label(self._graph, name), style)
            return
        answer = self._answer
        self._write(x, y, cell_fit(answer.text, ANSWERS).rstrip(), style)
        self._write(x, y + 1, probability(answer.prob), style)
        if answer.without is not None and answer.prob is not None:
            level = self._level(answer.without - answer.prob)
            self._write(x, y + 2, f"→ {probability(answer.without)}", self._ink(level))

    def _share(self, edge: Edge) -> float:
        """An edge's weight as a share of the strongest that it is compared with."""
        largest = self._largest[self._graph.compared(edge)]
        return edge.weight / largest if largest else 0.0

    @cached_property
    def _largest(self) -> dict[Hashable, float]:
        """The largest weight of each kind of edge."""
        largest: dict[Hashable, float] = {}
        for edge in self._graph.edges:
            kind = self._graph.compared(edge)
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
        if level >= FAINT:
            level -= FAINT
            lit += Style(dim=True)
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

    class NodeHighlighted(WidgetMessage["ChainView"]):
        """The cursor reached a node."""

        def __init__(self, view: ChainView, name: str) -> None:
            super().__init__(view)
            self.name = name

    class NodeSelected(NodeHighlighted):
        """A node was chosen by enter or a double click."""

    class Fitted(WidgetMessage["ChainView"]):
        """Another part of the chain is in sight."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: NodeGraph | None = None
        self._graph: NodeGraph | None = None
        self._layout: NodeLayout | None = None
        self._answer = AnswerLabel()
        self._marked: frozenset[str] = frozenset()
        self._strips: list[list[Segment]] = []

    def set_chain(self, graph: NodeGraph, answer: str, prob: float | None) -> None:
        """Show a chain; the cursor stays where it was, else it goes to the head.

        Args:
            graph: the chain.
            answer: the answer's text, fit to be drawn.
            prob: its probability.
        """
        self._whole = self._graph = graph
        self._answer = AnswerLabel(answer, prob, self._answer.without)
        self._layout = None  # of another chain: not to be drawn with this one
        self._fit()

    @property
    def drawn(self) -> NodeGraph | None:
        """What is in sight of the chain."""
        return self._graph

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
        if self._whole is None:
            return
        if self.size.width:
            room = self.size.width, self.size.height - HEADER
            self._graph, self._layout = self._whole.fit(*room)
        if self._graph is not None and self.cursor not in self._graph.nodes:
            self.cursor = self._graph.first
        if self._layout is None:
            return
        self.virtual_size = Size(self._layout.width, self._layout.height + HEADER)
        self._redraw()
        self.post_message(self.Fitted(self))
        self.call_after_refresh(self._show_cursor)

    @property
    def cursor_line(self) -> int:
        """The line of the drawing that the cursor is on."""
        if self._graph is None or self._layout is None or not self.cursor:
            return 0
        return self._layout.place(self._graph, self.cursor)[1] + HEADER - self.scroll_offset.y

    def _show_cursor(self) -> None:
        if self._graph is None or self._layout is None or not self.cursor:
            return
        x, y = self._layout.place(self._graph, self.cursor)
        wide = self._layout.wide(self._graph, self.cursor)
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

    def _lines(self, graph: NodeGraph, layout: NodeLayout) -> list[list[Segment]]:
        paint = Paint(
            style=lambda part: self.get_component_rich_style(f"chain-view--{part}"),
            ramp=change_ramp(self.app.current_theme),
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
        return self._layout.beside(self._graph, self.cursor)

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
            wide = self._layout.wide(self._graph, name)
            if row == y and left <= x < left + wide:
                self.cursor = name
                if event.chain == 2:
                    self.action_select()
