"""A chain as a graph, and where its nodes stand: four columns, an answer, no crossings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
from rich.cells import cell_len

from screens.text import cell_fit, visible
from screens.widgets.node_graph import Corners, Edge, Node, NodeGraph, NodeLayout

ANSWER = "answer"
SHALLOW, LAYERS, HEAD, DEEP, END = 1, 2, 3, 4, 5
"""The stages of a chain."""


class ChainGraph(NodeGraph):
    """The nodes and edges of one chain.

    Args:
        rows: rows of the step, in rank order.

    Raises:
        ValueError: a row is of none of the stages, or its edges lack an end or a weight.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        nodes: dict[str, Node] = {row["name"]: row for row in rows.to_dicts()}
        if not all(SHALLOW <= (node["stage"] or 0) <= END for node in nodes.values()):
            raise ValueError("a node is of no stage")
        super().__init__(
            nodes,
            (
                Edge(name, end, weight)
                for name, node in nodes.items()
                for end, weight in zip(node["to"], node["weight"], strict=True)
                if end in nodes
            ),
        )

    def stage(self, number: int) -> list[str]:
        """Names of the nodes of a stage, the strongest first."""
        return [name for name, node in self.nodes.items() if node["stage"] == number]

    @property
    def head(self) -> str | None:
        """The head in the middle."""
        return next(iter(self.stage(HEAD)), None)

    @property
    def deep(self) -> list[str]:
        """The deep neurons, the lowest first: edges between them lead down this list."""
        return sorted(self.stage(DEEP), key=lambda name: self.nodes[name]["layer"])

    @property
    def root(self) -> str | None:
        """The deep neuron all below is measured by: the lowest, of several the most important."""

        def lowest(name: str) -> tuple[int, float]:
            importance = [edge.weight for edge in self._from[name] if edge.end == ANSWER]
            return self.nodes[name]["layer"], -sum(importance)

        return min(self.stage(DEEP), key=lowest, default=None)

    @property
    def first(self) -> str:
        """The head in the middle, else any node."""
        return self.head or next(iter(self.nodes), "")

    def strength(self, edge: Edge) -> float:
        """What strengthens comes before what weakens."""
        return edge.weight

    def compared(self, edge: Edge) -> tuple[int, int]:
        """The stages it joins; to a layer or past it to the head is one kind."""
        start, end = (self.nodes[name]["stage"] for name in (edge.start, edge.end))
        return start, 0 if start == SHALLOW else end

    def dashed(self, edge: Edge) -> bool:
        """It weakens."""
        return edge.weight < 0

    def ends(self, name: str) -> bool:
        """The answer is the last stage."""
        return bool(self.nodes[name]["stage"] == END)

    def fit(self, width: int, lines: int) -> tuple[ChainGraph, ChainLayout]:
        """All of it."""
        return self, ChainLayout.fit(self, width, lines)

    def onwards(self, name: str) -> str | None:
        """The node it strengthens most: a neuron before the answer, whose unit is another."""
        edges = self.out_of(name)
        neurons = [edge for edge in edges if edge.end != ANSWER and edge.weight > 0]
        answer = [edge for edge in edges if edge.end == ANSWER]
        return next((edge.end for edge in neurons or answer or edges), None)


MARGIN = 1
"""Left of a node, for its mark."""
GUTTER = 5
"""Least room between columns: a line, where it turns, its arrow, a space on either side."""
STRETCH = 16
"""Most by which a wide terminal widens a gutter."""
SPREAD = 2
"""Lines from one row to the next where a high terminal has room for them."""
READS = 4
"""Cells of the prompt's token beside a shallow node."""
SAYS = 11
"""Cells of the token a node says, where there is room for them."""
ROOMY = 112
"""Columns from which there is."""
ARCS = 3
"""Cells right of the deep neurons, for what they do to each other."""
NUMBER = 5
"""Cells of the number on an edge to the answer."""
ANSWERS = 7
"""Cells of the answer and its probability."""
HEADERS = {
    SHALLOW: "feature enhancing",
    LAYERS: "transferring",
    HEAD: "predicting",
    DEEP: "prediction enhancing",
}


@dataclass(frozen=True)
class ChainLayout(NodeLayout):
    """Places of nodes: a row for each, a column for each stage."""

    rows: dict[str, int]
    columns: dict[int, int]
    """Left end of each stage."""
    widths: dict[int, int]
    """Cells of each stage's labels, and of the answer's."""
    height: int
    roomy: bool
    """Whether labels say a token."""

    @classmethod
    def fit(cls, graph: ChainGraph, width: int, lines: int = 0) -> ChainLayout:
        """Place a chain in so many columns of a terminal, spread over its lines if they suffice."""
        rows, height = _rows(graph)
        if SPREAD * height <= lines:
            rows = {name: SPREAD * row for name, row in rows.items()}
            height *= SPREAD
        roomy = width >= ROOMY
        widths = {
            stage: max((len(name) for name in graph.stage(stage)), default=0) for stage in HEADERS
        }
        widths[SHALLOW] += 1 + READS
        if roomy:
            widths = {stage: cells + 1 + SAYS for stage, cells in widths.items()}
        widths[END] = ANSWERS
        behind = {DEEP: ARCS + 2 + NUMBER}
        place, columns = MARGIN, {}
        for stage, header in HEADERS.items():
            columns[stage] = place
            place += max(widths[stage] + behind.get(stage, 0) + GUTTER, len(header) + 1)
        columns[END] = place
        spare = max(0, width - (place + ANSWERS)) // len(HEADERS)
        for step, stage in enumerate(columns):
            columns[stage] += step * min(spare, STRETCH)
        return cls(rows, columns, widths, height, roomy)

    @property
    def width(self) -> int:
        """Columns taken."""
        return self.columns[END] + ANSWERS

    @property
    def headers(self) -> list[tuple[int, str]]:
        """What each stage does."""
        return [(self.columns[stage], header) for stage, header in HEADERS.items()]

    def place(self, graph: ChainGraph, name: str) -> tuple[int, int]:
        """Column and row of a node's label."""
        return self.columns[graph.nodes[name]["stage"]], self.rows[name]

    def wide(self, graph: ChainGraph, name: str) -> int:
        """As wide as its stage."""
        return self.widths[graph.nodes[name]["stage"]]

    def label(self, graph: ChainGraph, name: str) -> str:
        """What stands at a node."""
        node = graph.nodes[name]
        stage = node["stage"]
        reads = 1 + READS if stage == SHALLOW else 0
        says = 1 + SAYS if self.roomy else 0
        text = cell_fit(name, self.widths[stage] - reads - says)
        if reads:
            text += " " + cell_fit(visible(node["reads"], quote=False), READS)
        if says:
            tokens = node["tokens_through"] or node["tokens"] or ()
            text += " " + cell_fit(visible(tokens[0]) if tokens else "", SAYS)
        return text.rstrip()

    @property
    def _numbers(self) -> int:
        """Where the numbers on the edges to the answer end."""
        return self._end(DEEP) + ARCS + 2 + NUMBER

    def number_end(self, edge: Edge) -> int | None:
        """Edges to the answer have a number."""
        return self._numbers if edge.end == ANSWER else None

    def routes(self, graph: ChainGraph, cursor: str | None) -> Iterator[tuple[Edge, Corners, str]]:
        """The edges drawn; of those among deep neurons these of the one under the cursor, else
        those of the root."""
        focus = cursor if cursor in graph.stage(DEEP) else graph.root
        for edge in graph.edges:
            start, end = (graph.nodes[name]["stage"] for name in (edge.start, edge.end))
            if start == end == DEEP:
                if focus in (edge.start, edge.end):
                    yield edge, self._arc(edge), "◀"
            elif end == END:
                yield edge, self._bent(edge, self._numbers, END, self.columns[END] - 3), "▶"
            elif start == SHALLOW:  # past the attention layers where it goes to the head
                yield edge, self._bent(edge, self._end(SHALLOW), end, self.columns[LAYERS] - 3), "▶"
            else:
                left = self.columns[start] + cell_len(self.label(graph, edge.start))
                yield edge, self._bent(edge, left, end, self.columns[end] - 3), "▶"

    def _end(self, stage: int) -> int:
        """Where the labels of a stage end."""
        return self.columns[stage] + self.widths[stage]

    def _bent(self, edge: Edge, left: int, stage: int, bus: int) -> Corners:
        """From behind a label to the column where lines meet, along it, and on to the target."""
        start, end = self.rows[edge.start], self.rows[edge.end]
        corners = [(left + 1, start), (bus, start), (bus, end), (self.columns[stage] - 2, end)]
        return list(dict.fromkeys(corners))

    def _arc(self, edge: Edge) -> Corners:
        """Out to the right and back again, a few rows below."""
        beside, bus = self._end(DEEP) + 1, self._end(DEEP) + ARCS
        start, end = self.rows[edge.start], self.rows[edge.end]
        return [(beside, start), (bus, start), (bus, end), (beside, end)]


def _rows(graph: ChainGraph) -> tuple[dict[str, int], int]:
    """A row for every node, so that lines between the first columns need not cross, and how many.

    Shallow nodes that go through one layer stand together, the layer in their middle; those that
    go to the head stand in the middle of all, and the head with them.
    """
    groups: dict[str, list[str]] = {name: [] for name in _by_layer(graph, LAYERS)}
    direct: list[str] = []
    for name in graph.stage(SHALLOW):
        fed = graph.onwards(name)
        groups.get(fed or "", direct).append(name)
    rows: dict[str, int] = {}
    sizes = [max(1, len(members)) for members in groups.values()]
    above = min(range(len(sizes) + 1), key=lambda cut: abs(sum(sizes[:cut]) - sum(sizes[cut:])))
    blocks = list(groups.items())
    blocks.insert(above, (graph.head or "", direct))
    row = 0
    for target, members in blocks:
        size = len(members) if target == graph.head else max(1, len(members))
        rows |= {name: row + place for place, name in enumerate(members)}
        rows[target] = row + max(0, size - 1) // 2
        row += size
    deep = graph.deep
    height = max(row, len(deep), 3)
    shift = (height - row) // 2
    rows = {name: place + shift for name, place in rows.items()}
    middle = rows.get(graph.head or "", 0)
    top = min(max(0, middle - (len(deep) - 1) // 2), height - len(deep))
    rows |= {name: top + place for place, name in enumerate(deep)}
    # The answer has its probability below it, and another one when a node is zeroed.
    rows[ANSWER] = min(max(middle, top), top + max(0, len(deep) - 1), height - 3)
    return rows, height


def _by_layer(graph: ChainGraph, stage: int) -> list[str]:
    return sorted(graph.stage(stage), key=lambda name: graph.nodes[name]["layer"])
