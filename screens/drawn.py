"""What screen 5 shows of a step that makes a graph: its nodes in words, and what they stand for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
from rich.text import Text

from analysis.columns import printed
from analysis.refs import HeadRef
from analysis.steps import ChainStep, ProjectStep
from analysis.tasks.prompts import Prompt, PromptSet
from screens.cases import titled
from screens.messages import StepRequested
from screens.text import coefficient, number, one_line, probability, visible
from screens.widgets.chain_layout import ANSWER, DEEP, END, HEAD, LAYERS, ChainGraph
from screens.widgets.node_graph import Edge, NodeGraph
from screens.workspace import Result, Workspace

LABEL = 11
"""Cells of the label before a line."""
EDGES = 5
"""Edges named in one line."""


def reading(name: str, graph: ChainGraph, base: dict[str, Any], waiting: bool) -> Text:
    """What a node is, what it says, what it feeds, and what the answer is without it.

    Args:
        name: the node.
        graph: its chain.
        base: what the chain is compared with.
        waiting: its ablation may still come.
    """
    node = graph.nodes[name]
    first = Text(" ").append(
        one_line(name) if name != ANSWER else visible(base["answer"]), style="bold"
    )
    lines = [first.append(f"  {one_line(_what(name, graph, base))}")]
    if node["part"] is not None:
        lines.append(_effect(node, base, waiting))
    lines.append(line("says", _tokens(node["tokens"])))
    if node["through"] is not None:
        lines.append(line(_carrier(node), _tokens(node["tokens_through"])))
    into, out = graph.into(name), graph.out_of(name)
    if into:
        lines.append(line("fed by", _edges(into, "start", base)))
    if out:
        lines.append(line("feeds", _edges(out, "end", base)))
    return Text("\n").join(lines)


def _what(name: str, graph: ChainGraph, base: dict[str, Any]) -> str:
    node, root = graph.nodes[name], base["root"]
    if node["stage"] == DEEP:
        importance = dict(zip(node["to"], node["weight"], strict=True)).get(ANSWER)
        before = "" if importance is None else f"{number(importance, 3)} → "
        after = number((importance or 0.0) - node["score"], 3)
        change = f"importance {before}{after} without {base['head']}"
        kind = "root" if name == root else "deep neuron"
        return f"{kind} · coefficient {coefficient(node['coefficient'])} · {change}"
    if node["stage"] == END:
        return f"the answer, probability {probability(base['prob'])}"
    adds = f"adds {number(node['score'], 3, sign=True)} to {root}"
    if node["stage"] == LAYERS:
        return f"all heads of the layer, last position · {adds}"
    if node["stage"] == HEAD:
        return f"head, last position · {adds}"
    where = f"at {visible(node['reads'])}"
    if node["part"] is None:
        return f"the word itself, {where} · {adds}"
    return f"shallow neuron {where} · coefficient {coefficient(node['coefficient'])} · {adds}"


def _carrier(node: dict[str, Any]) -> str:
    """What carries a shallow node: the head where the edge goes there, else a layer."""
    return f"via {one_line(node['to'][0])}" if node["to"] else "via attention"


def _tokens(tokens: Sequence[str] | None) -> Text:
    return Text(" ".join(visible(token) for token in tokens or ()))


def _edges(edges: list[Edge], end: str, base: dict[str, Any]) -> Text:
    text = Text()
    largest = sorted(edges, key=lambda edge: -abs(edge.weight))
    for edge in largest[:EDGES]:
        other = getattr(edge, end)
        shown = visible(base["answer"]) if other == ANSWER else one_line(other)
        text.append(f"{shown} ").append(number(edge.weight, 2, sign=True), style="bold")
        text.append("   ")
    if len(largest) > EDGES:
        text.append(f"and {len(largest) - EDGES} more", style="dim")
    return text


def _effect(node: dict[str, Any], base: dict[str, Any], waiting: bool) -> Text:
    words = Text(f"p({visible(base['answer'])}) {probability(base['prob'])} → ")
    if node["prob_without"] is None:
        words.append("waiting" if waiting else "not measured", style="dim")
    else:
        words.append(probability(node["prob_without"]), style="bold")
    return line("without it", words)


def line(label: str, words: Text) -> Text:
    """Words behind their label."""
    return Text().append(f" {label:<{LABEL}}", style="dim").append_text(words)


def without(results: Iterable[Result], answer: str) -> list[Text]:
    """What ablating marked nodes together did, a line each."""
    lines = []
    for result in results:
        for row in result.rows.to_dicts():
            before = probability(result.baseline["prob"])
            words = Text(f"p({answer}) {before} → ")
            words.append(probability(row["prob"]), style="bold")
            words.append(f"   {one_line(row['name'])}", style="dim")
            lines.append(line("together", words))
    return lines


class Drawn(ABC):
    """A result as a graph.

    Args:
        result: of the step.
        workspace: what else is known.
    """

    graph: NodeGraph

    def __init__(self, result: Result, workspace: Workspace) -> None:
        self.result, self.workspace = result, workspace

    @property
    @abstractmethod
    def title(self) -> tuple[str, str]:
        """What is shown, and the fact to compare with."""

    @property
    @abstractmethod
    def prompts(self) -> PromptSet:
        """What it is about."""

    @property
    def answer(self) -> str:
        """The answer's text, fit to be drawn."""
        return "answer"

    @property
    def prob(self) -> float | None:
        """Its probability, where the drawing ends in it."""
        return None

    @abstractmethod
    def legend(self, shown: NodeGraph) -> str:
        """What the lines mean, given what of the graph is in sight."""

    @abstractmethod
    def reading(self, name: str) -> Text:
        """A node in words."""

    @abstractmethod
    def part(self, name: str) -> str | None:
        """What to zero to take a node away; None: it cannot be."""

    @abstractmethod
    def no_part(self, name: str) -> str:
        """Why it cannot be, in words."""

    def zeroing(self, name: str) -> StepRequested | str | None:
        """What measures the answers without a node, else why nothing does; None: that is known."""
        return None

    def copied(self, name: str, everything: bool) -> pl.DataFrame:
        """The row of a node, or all rows in order."""
        rows = self.rows
        return rows if everything else rows.filter(name=name)

    @property
    def rows(self) -> pl.DataFrame:
        """All rows in order, as they are printed."""
        step = self.result.step
        return step.ranked(self.result.table()).select(printed(step.filled))

    @abstractmethod
    def opens(self, name: str) -> StepRequested | str:
        """What reads a node; else why nothing does."""


class ChainDrawn(Drawn):
    """The chain of a case: every node's worth is in its rows."""

    def __init__(self, result: Result, workspace: Workspace) -> None:
        super().__init__(result, workspace)
        assert isinstance(result.step, ChainStep)
        self.step = result.step
        self.graph: ChainGraph = ChainGraph(result.step.ranked(result.table()))

    @property
    def title(self) -> tuple[str, str]:
        """The head it leads through, and the answer."""
        base, title = self.result.baseline, titled(self.step, self.workspace)
        if self.step.head is None and base:
            title = title.replace("chain", f"chain of {base['head']}", 1)
        return title, f"{self.answer} {probability(base['prob'])}" if base else ""

    @property
    def prompts(self) -> PromptSet:
        """Its case."""
        return _case(self.step.prompt)

    @property
    def answer(self) -> str:
        """The answer's text."""
        base = self.result.baseline
        return visible(base["answer"]) if base else ""

    @property
    def prob(self) -> float | None:
        """The answer's probability."""
        base = self.result.baseline
        return base["prob"] if base else None

    def legend(self, shown: NodeGraph) -> str:
        """Weights are importance."""
        return "━ strong  ─ weak  ╌ weakens   numbers: importance, nats"

    def reading(self, name: str) -> Text:
        """What a node is, says, and feeds."""
        return reading(name, self.graph, self.result.baseline, self.result.active)

    def part(self, name: str) -> str | None:
        """As its row says."""
        part: str | None = self.graph.nodes[name]["part"]
        return part

    def no_part(self, name: str) -> str:
        """Words and the answer are no parts."""
        return "Words and the answer cannot be zeroed; mark neurons, layers or the head."

    def opens(self, name: str) -> StepRequested | str:
        """What the node promotes and suppresses."""
        node, result = self.graph.nodes[name], self.result
        through, by = node["through"], None
        if node["stage"] == LAYERS:
            source = f"attention:{node['layer']}"
        elif node["stage"] == END:
            layers = result.model.layers if result.model else 1
            source = f"residual:{layers - 1}"
        elif node["part"] is None:
            source = f"word:{node['reads']}"
        else:
            source = node["part"]
        if through is not None and node["to"][0] == result.baseline["head"]:
            by = HeadRef.parse(result.baseline["head"]).index
        chosen = ProjectStep(source=source, through=through, by=by, prompt=self.step.prompt)
        return StepRequested(chosen.telling_more(self.workspace.model), alike=("source",))


def _case(prompt: Prompt) -> PromptSet:
    """One case as a set."""
    return PromptSet(name="case", prompts=(prompt,))
