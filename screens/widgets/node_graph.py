"""Nodes that feed each other, whatever they are, and where they stand: what a drawing needs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Node = dict[str, Any]
"""What is known of a node."""
Corners = list[tuple[int, int]]


@dataclass(frozen=True, order=True, slots=True)
class Edge:
    """One node feeds another."""

    start: str
    end: str
    weight: float
    input: str = ""
    """Which input of its end it feeds, where that has several."""
    estimated: bool = False
    """Whether the weight is an estimate."""
    estimate: float | None = field(default=None, compare=False)
    """What was estimated of an edge whose weight is exact."""


class NodeGraph(ABC):
    """Nodes by name, and the edges between them.

    Args:
        nodes: in the order in which they are drawn.
        edges: between these nodes.
    """

    def __init__(self, nodes: dict[str, Node], edges: Iterable[Edge]) -> None:
        self.nodes, self.edges = nodes, tuple(edges)
        self._from: dict[str, list[Edge]] = {name: [] for name in nodes}
        self._into: dict[str, list[Edge]] = {name: [] for name in nodes}
        for edge in self.edges:
            self._from[edge.start].append(edge)
            self._into[edge.end].append(edge)

    @property
    @abstractmethod
    def first(self) -> str:
        """The node that the cursor begins at; empty where there is none."""

    @abstractmethod
    def strength(self, edge: Edge) -> float:
        """What edges are ordered by, the strongest first."""

    @abstractmethod
    def compared(self, edge: Edge) -> Hashable:
        """Edges of which this is the same are as thick as they are strong beside each other."""

    @abstractmethod
    def dashed(self, edge: Edge) -> bool:
        """Whether it is drawn broken: what that says where there are no colours."""

    @abstractmethod
    def fit(self, width: int, lines: int) -> tuple[NodeGraph, NodeLayout]:
        """What is drawn of it in so many columns and lines, and where that stands."""

    def ends(self, name: str) -> bool:
        """Whether a node is the answer, with its probability below it."""
        return False

    def out_of(self, name: str) -> list[Edge]:
        """Edges from a node, the strongest first."""
        return sorted(self._from[name], key=self.strength, reverse=True)

    def into(self, name: str) -> list[Edge]:
        """Edges to a node, the strongest first."""
        return sorted(self._into[name], key=self.strength, reverse=True)

    def onwards(self, name: str) -> str | None:
        """The node it feeds most."""
        return next((edge.end for edge in self.out_of(name)), None)

    def back(self, name: str) -> str | None:
        """The node that feeds it most."""
        return next((edge.start for edge in self.into(name)), None)

    def way_through(self, name: str) -> set[Edge]:
        """All edges of a node, and from there on the strongest, back to the words and on."""
        lit = {*self._from[name], *self._into[name]}
        lit |= self._walk(self.back(name), forwards=False)
        lit |= self._walk(self.onwards(name), forwards=True)
        return lit

    def _walk(self, name: str | None, forwards: bool) -> set[Edge]:
        walked: set[Edge] = set()
        reached: set[str] = set()  # rows of anybody's file may lead in a circle
        while name is not None and name not in reached:
            reached.add(name)
            following = self.onwards(name) if forwards else self.back(name)
            edges = self._from[name] if forwards else self._into[name]
            walked |= {edge for edge in edges if following in (edge.start, edge.end)}
            name = following
        return walked


class NodeLayout(ABC):
    """Places of the nodes of a graph."""

    rows: dict[str, int]
    height: int

    @property
    @abstractmethod
    def width(self) -> int:
        """Columns taken."""

    @property
    @abstractmethod
    def headers(self) -> Iterable[tuple[int, str]]:
        """What stands above the nodes, and from which column on."""

    @abstractmethod
    def place(self, graph: Any, name: str) -> tuple[int, int]:
        """Column and row of a node's label."""

    @abstractmethod
    def wide(self, graph: Any, name: str) -> int:
        """Cells that a node's label may take."""

    @abstractmethod
    def label(self, graph: Any, name: str) -> str:
        """What stands at a node."""

    @abstractmethod
    def routes(self, graph: Any, cursor: str | None) -> Iterator[tuple[Edge, Corners, str]]:
        """The edges drawn while the cursor is at a node, each with its corners and its arrow."""

    def number_end(self, edge: Edge) -> int | None:
        """Where the number on an edge ends; None: it has none."""
        return None

    def beside(self, graph: NodeGraph, name: str) -> list[str]:
        """The nodes of the same column, from top to bottom."""
        column, _ = self.place(graph, name)
        found = [each for each in graph.nodes if self.place(graph, each)[0] == column]
        return sorted(found, key=self.rows.__getitem__)
