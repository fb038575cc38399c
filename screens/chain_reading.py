"""A node of a chain in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from screens.chain_graph import ANSWER, DEEP, END, HEAD, LAYERS, ChainGraph, Edge
from screens.text import coefficient, number, one_line, probability, visible
from screens.workspace import Result

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
