"""A chain as a graph: nodes by stage, edges between them, and the way through any node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

ANSWER = "answer"
SHALLOW, LAYERS, HEAD, DEEP, END = 1, 2, 3, 4, 5
"""The stages of a chain."""
Node = dict[str, Any]
"""A row of the step."""


@dataclass(frozen=True, order=True, slots=True)
class Edge:
    """One node feeds another."""

    start: str
    end: str
    weight: float


class ChainGraph:
    """The nodes and edges of one chain.

    Args:
        rows: rows of the step, in rank order.

    Raises:
        ValueError: a row is of none of the stages, or its edges lack an end or a weight.
    """

    def __init__(self, rows: pl.DataFrame) -> None:
        self.nodes: dict[str, Node] = {row["name"]: row for row in rows.to_dicts()}
        if not all(SHALLOW <= (node["stage"] or 0) <= END for node in self.nodes.values()):
            raise ValueError("a node is of no stage")
        self.edges = tuple(
            Edge(name, end, weight)
            for name, node in self.nodes.items()
            for end, weight in zip(node["to"], node["weight"], strict=True)
            if end in self.nodes
        )
        self._from: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        self._into: dict[str, list[Edge]] = {name: [] for name in self.nodes}
        for edge in self.edges:
            self._from[edge.start].append(edge)
            self._into[edge.end].append(edge)

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

    def out_of(self, name: str) -> list[Edge]:
        """Edges from a node, the strongest first."""
        return sorted(self._from[name], key=lambda edge: -edge.weight)

    def into(self, name: str) -> list[Edge]:
        """Edges to a node, the strongest first."""
        return sorted(self._into[name], key=lambda edge: -edge.weight)

    def onwards(self, name: str) -> str | None:
        """The node it strengthens most: a neuron before the answer, whose unit is another."""
        edges = self.out_of(name)
        neurons = [edge for edge in edges if edge.end != ANSWER and edge.weight > 0]
        answer = [edge for edge in edges if edge.end == ANSWER]
        return next((edge.end for edge in neurons or answer or edges), None)

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
        while name is not None:
            following = self.onwards(name) if forwards else self.back(name)
            edges = self._from[name] if forwards else self._into[name]
            walked |= {edge for edge in edges if following in (edge.start, edge.end)}
            name = following
        return walked
