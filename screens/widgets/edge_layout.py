"""Edges between heads and FFNs as a graph: layers to the right, no line through a node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from math import isfinite
from typing import Any

import polars as pl
from rich.cells import cell_len

from screens.widgets.node_graph import Corners, Edge, Node, NodeGraph, NodeLayout

EMBEDDING, LOGITS = "embedding", "logits"
_NODE = re.compile(r"L(\d{1,5})(H|KV|F)(\d{1,6})?")
_NAMED = {EMBEDDING: (-1, 0), LOGITS: (10**6, 0)}
MOST = 1_000
"""Edges of a graph: those further down the ranking are not drawn."""
LEAST, USUAL = 8, 40
"""Edges drawn where there is less room than they need, and where there is more."""
MARGIN = 1
"""Left of a node, for its mark."""
GUTTER = 5
"""Least room between columns: a line, where it turns, its arrow, a space on either side."""
STRETCH = 12
"""Most by which a wide terminal widens a gutter."""
SPREAD = 2
"""Lines from one row to the next where a high terminal has room for them."""


def place_of(name: str | None) -> tuple[int, int] | None:
    """The layer of a node, and 1 for the FFN behind its heads; None: it is no node."""
    if name in _NAMED:
        return _NAMED[name]
    if (match := _NODE.fullmatch(name or "")) is None:
        return None
    layer, kind, index = match.groups()
    return (int(layer), int(kind == "F")) if (index is None) == (kind == "F") else None


def strength_of(row: dict[str, Any]) -> tuple[float, bool] | None:
    """What an edge changes, exact where that is known, and whether it is estimated only."""
    for name in ("verified", "score"):
        value = row.get(name)
        if value is not None and isfinite(value):
            return value, name == "score"
    return None


class EdgeGraph(NodeGraph):
    """The strongest edges, by what is known of each.

    Args:
        edges: those of the graph, the strongest first.
        wanted: how many are drawn; None: as many as can be read.
        sharing: how many heads read a key/value head.
    """

    def __init__(self, edges: list[Edge], wanted: int | None = None, sharing: int = 1) -> None:
        names = {name for edge in edges for name in (edge.start, edge.end)}
        nodes: dict[str, Node] = {
            name: {"name": name, "place": place_of(name)}
            for name in sorted(names, key=lambda name: (place_of(name), len(name), name))
        }
        super().__init__(nodes, edges)
        self.wanted, self.sharing = wanted, sharing

    @classmethod
    def of(cls, rows: pl.DataFrame, wanted: int | None = None, sharing: int = 1) -> EdgeGraph:
        """The graph of the rows of a step; a row that names no edge is left out."""
        edges = []
        for row in rows.head(MOST).to_dicts():
            known, ends = strength_of(row), (row["source"], row["target"])
            start, end = (place_of(name) for name in ends)
            if known is not None and start is not None and end is not None and start < end:
                kind = row["input"] if row.get("input") in ("q", "k", "v") else ""
                edges.append(Edge(*ends, known[0], kind, known[1], row.get("score")))
        return cls(sorted(edges, key=lambda edge: -abs(edge.weight)), wanted, sharing)

    @property
    def first(self) -> str:
        """The head at the strongest edge of a head, else where the strongest edge begins."""
        ends = [name for edge in self.edges for name in (edge.end, edge.start)]
        return next((name for name in ends if "H" in name), next(iter(ends), ""))

    def heads(self, name: str) -> list[str]:
        """The heads that a key/value head belongs to."""
        layer, _, index = name.partition("KV")
        if not index:
            return []
        begin = int(index) * self.sharing
        return [f"{layer}H{number}" for number in range(begin, begin + self.sharing)]

    def onwards(self, name: str) -> str | None:
        """The node it feeds most; behind a key/value head the one of its heads that feeds most."""
        heads = [each for each in self.heads(name) if each in self.nodes]
        fed = {head: self.out_of(head) for head in heads}
        heads.sort(key=lambda head: -abs(fed[head][0].weight) if fed[head] else 0.0)
        return next(iter(heads), None) or super().onwards(name)

    def back(self, name: str) -> str | None:
        """The node that feeds it most; of a head that nothing feeds, its key/value head."""
        shared = (each for each in self.nodes if name in self.heads(each))
        return super().back(name) or next(shared, None)

    def strength(self, edge: Edge) -> float:
        """The size of what it changes."""
        return abs(edge.weight)

    def compared(self, edge: Edge) -> None:
        """All of them change the same metric."""

    def dashed(self, edge: Edge) -> bool:
        """Without it the metric rises."""
        return edge.weight > 0

    def strongest(self, count: int) -> EdgeGraph:
        """The graph of so many edges."""
        return EdgeGraph(list(self.edges[:count]), self.wanted, self.sharing)

    def fit(self, width: int, lines: int) -> tuple[EdgeGraph, EdgeLayout]:
        """So many of the strongest edges as are wanted, else as there is room for."""
        if self.wanted is not None:
            part = self.strongest(self.wanted)
            return part, EdgeLayout.fit(part, width, lines)
        for count in range(min(USUAL, len(self.edges)), LEAST, -1):
            part = self.strongest(count)
            layout = EdgeLayout.fit(part, width, lines)
            if layout.width <= width and layout.height <= lines:
                return part, layout
        part = self.strongest(LEAST)
        return part, EdgeLayout.fit(part, width, lines)


@dataclass(frozen=True)
class EdgeLayout(NodeLayout):
    """Places of nodes: a column for each layer, or for several that feed each other nothing."""

    rows: dict[str, int]
    column: dict[str, int]
    """Which column each node stands in."""
    lefts: list[int]
    """Left end of each column, and of what would come next."""
    layers: list[str]
    """What stands above each column."""
    height: int

    @classmethod
    def fit(cls, graph: EdgeGraph, width: int, lines: int) -> EdgeLayout:
        """Place a graph in so many columns of a terminal; those of layers that feed each other
        nothing are made one where it is too narrow for all."""
        columns = _columns(graph, merged=False)
        if _lefts(columns)[-1] - GUTTER > width:
            columns = _columns(graph, merged=True)
        column = {name: place for place, names in enumerate(columns) for name in names}
        rows, height = _rows(graph, columns, column)
        if SPREAD * height <= lines:
            rows = {name: SPREAD * row for name, row in rows.items()}
            height *= SPREAD
        lefts = _lefts(columns)
        spare = max(0, width - (lefts[-1] - GUTTER)) // max(1, len(columns) - 1)
        lefts = [left + place * min(spare, STRETCH) for place, left in enumerate(lefts)]
        return cls(rows, column, lefts, [_layers(graph, names) for names in columns], height)

    @property
    def width(self) -> int:
        """Columns taken."""
        if not self.layers:
            return 0
        last = (
            cell_len(name) for name, place in self.column.items() if place == len(self.layers) - 1
        )
        return self.lefts[len(self.layers) - 1] + max(*last, len(self.layers[-1]))

    @property
    def headers(self) -> list[tuple[int, str]]:
        """The layers of each column."""
        return list(zip(self.lefts, self.layers, strict=False))

    def place(self, graph: EdgeGraph, name: str) -> tuple[int, int]:
        """Column and row of a node's label."""
        return self.lefts[self.column[name]], self.rows[name]

    def wide(self, graph: EdgeGraph, name: str) -> int:
        """As wide as its name."""
        return cell_len(name)

    def label(self, graph: EdgeGraph, name: str) -> str:
        """Its name."""
        return name

    def routes(self, graph: EdgeGraph, cursor: str | None) -> Iterator[tuple[Edge, Corners, str]]:
        """Each edge along the row of its start, up to the column before its end, and on to it."""
        for edge in graph.edges:
            start, end = self.rows[edge.start], self.rows[edge.end]
            left = self.lefts[self.column[edge.start]] + cell_len(edge.start) + 1
            target = self.lefts[self.column[edge.end]]
            bus = target - 3
            corners = [(left, start), (bus, start), (bus, end), (target - 2, end)]
            yield edge, list(dict.fromkeys(corners)), "▷" if edge.estimated else "▶"


def _columns(graph: EdgeGraph, merged: bool) -> list[list[str]]:
    """The nodes of each column, from the embedding to the logits.

    Args:
        graph: what is drawn.
        merged: a column may hold several layers, as long as no edge joins two of its nodes.
    """
    columns: list[list[str]] = []
    for place, group in groupby(graph.nodes, key=lambda name: graph.nodes[name]["place"]):
        names = list(group)
        before = set(columns[-1]) if columns else set()
        feeding = {edge.start for name in names for edge in graph.into(name)}
        same_layer = bool(before) and graph.nodes[columns[-1][-1]]["place"][0] == place[0]
        ends = (EMBEDDING in before) or LOGITS in names
        if before and not before & feeding and (merged or same_layer) and not ends:
            columns[-1] += names
        else:
            columns.append(names)
    return columns


def _lefts(columns: list[list[str]]) -> list[int]:
    lefts = [MARGIN]
    for names in columns:
        lefts.append(lefts[-1] + max(map(cell_len, names)) + GUTTER)
    return lefts


def _layers(graph: EdgeGraph, names: list[str]) -> str:
    """What a column holds: `14`, `14–16`; nothing above the embedding and the logits."""
    layers = [graph.nodes[name]["place"][0] for name in names if name not in _NAMED]
    if not layers:
        return ""
    low, high = min(layers), max(layers)
    return f"{low}" if low == high else f"{low}–{high}"


def _rows(
    graph: EdgeGraph, columns: list[list[str]], column: dict[str, int]
) -> tuple[dict[str, int], int]:
    """A row for every node, near what feeds it, and how many rows there are.

    The row of a node is its own up to the last column that it feeds, so that no line runs
    through another node.
    """
    rows: dict[str, int] = {}
    taken: dict[int, int] = {}  # up to which column each row is
    for place, names in enumerate(columns):
        wished: dict[str, float] = {}
        for name in names:
            feeding = [rows[edge.start] for edge in graph.into(name)]
            wished[name] = sum(feeding) / len(feeding) if feeding else 0.0
        for name in sorted(names, key=wished.__getitem__):
            free = (row for row in range(len(graph.nodes)) if taken.get(row, -1) < place)
            row = min(free, key=lambda row: abs(row - wished[name]))
            fed = [column[edge.end] - 1 for edge in graph.out_of(name)]
            rows[name], taken[row] = row, max(place, *fed, place)
    return rows, max(rows.values(), default=0) + 1
