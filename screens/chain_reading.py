"""A node of a chain in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from screens.chain_graph import ANSWER, DEEP, END, HEAD, LAYERS, SHALLOW, ChainGraph, Edge
from screens.text import coefficient, number, probability, visible
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
    first = Text(" ").append(name if name != ANSWER else visible(base["answer"]), style="bold")
    lines = [first.append(f"  {_what(name, graph, base)}")]
    lines.append(_line("says", _tokens(node["tokens"])))
    if node["through"] is not None:
        lines.append(_line(_carrier(node), _tokens(node["tokens_through"])))
    into, out = graph.into(name), graph.out_of(name)
    if into:
        lines.append(_line("fed by", _edges(into, "start", base)))
    if out:
        lines.append(_line("feeds", _edges(out, "end", base)))
    if node["part"] is not None:
        lines.append(_effect(node, base, waiting))
    return Text("\n").join(lines)


def _what(name: str, graph: ChainGraph, base: dict[str, Any]) -> str:
    node, root = graph.nodes[name], base["root"]
    score = number(node["score"], 3, sign=True)
    adds = f"adds {score} to {root}"
    if node["stage"] == SHALLOW:
        where = f"at {visible(node['reads'])}, position {node['position']} · {adds}"
        if node["part"] is None:
            return f"word {where}"
        return f"shallow neuron {where} · coefficient {coefficient(node['coefficient'])}"
    if node["stage"] == LAYERS:
        return f"attention layer, all heads, at the last position · {adds}"
    if node["stage"] == HEAD:
        return f"head, at the last position · {adds}"
    if node["stage"] == DEEP:
        root_note = "root · " if name == root else ""
        words = f"{root_note}deep neuron · coefficient {coefficient(node['coefficient'])}"
        return f"{words} · importance {score} more than with {base['head']} zeroed"
    return f"answer, probability {probability(base['prob'])}"


def _carrier(node: dict[str, Any]) -> str:
    """What carries a shallow node: the head where the edge goes there, else a layer."""
    return f"via {node['to'][0]}" if node["to"] else "via attention"


def _tokens(tokens: Sequence[str] | None) -> Text:
    return Text(" ".join(visible(token) for token in tokens or ()))


def _edges(edges: list[Edge], end: str, base: dict[str, Any]) -> Text:
    text = Text()
    largest = sorted(edges, key=lambda edge: -abs(edge.weight))
    for edge in largest[:EDGES]:
        other = getattr(edge, end)
        shown = visible(base["answer"]) if other == ANSWER else other
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
    return _line("without it", words)


def _line(label: str, words: Text) -> Text:
    return Text(f" {label:<{LABEL}}", style="dim").append_text(Text().append_text(words))


def without(results: Iterable[Result], answer: str) -> list[Text]:
    """What ablating marked nodes together did, a line each."""
    lines = []
    for result in results:
        for row in result.rows.to_dicts():
            before = probability(result.baseline["prob"])
            words = Text(f"p({answer}) {before} → ")
            words.append(probability(row["prob"]), style="bold")
            words.append(f"   {row['name']}", style="dim")
            lines.append(_line("together", words))
    return lines


def is_answer(node: dict[str, Any]) -> bool:
    """Whether a node is the end of the chain."""
    return bool(node["stage"] == END)
