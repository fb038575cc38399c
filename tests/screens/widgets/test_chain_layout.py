"""Where a chain's nodes stand and its edges run, on the chains of a real model."""

from __future__ import annotations

from itertools import pairwise

import pytest
from recorded_chain import recorded_result

from screens.widgets.chain_layout import (
    ANSWER,
    DEEP,
    END,
    HEAD,
    LAYERS,
    SHALLOW,
    ChainGraph,
    ChainLayout,
)


@pytest.fixture(params=[1, 2], ids=["L20H8", "L13H4"])
def graph(request) -> ChainGraph:
    result = recorded_result(request.param)
    return ChainGraph(result.step.ranked(result.rows))


def test_the_graph_is_that_of_the_rows(graph):
    assert [len(graph.stage(stage)) for stage in (SHALLOW, LAYERS, HEAD, DEEP, END)] == [
        8,
        4,
        1,
        6,
        1,
    ]
    for edge in graph.edges:
        node = graph.nodes[edge.start]
        assert node["weight"][node["to"].index(edge.end)] == edge.weight
        assert edge in graph.out_of(edge.start)
        assert edge in graph.into(edge.end)
    assert len(graph.edges) == sum(len(node["to"]) for node in graph.nodes.values())
    layers = [graph.nodes[name]["layer"] for name in graph.deep]
    assert layers == sorted(layers)


def test_the_root_is_the_one_of_the_record():
    for number in (1, 2):
        result = recorded_result(number)
        assert ChainGraph(result.rows).root == result.baseline["root"]


def test_the_way_through_any_node_leads_from_a_first_stage_to_the_answer(graph):
    for name in graph.nodes:
        way = graph.way_through(name)
        assert all(edge in way for edge in graph.out_of(name) + graph.into(name))
        reached = {name}
        for _ in graph.nodes:
            reached |= {edge.end for edge in way if edge.start in reached}
        assert ANSWER in reached
        behind = {name}
        for _ in graph.nodes:
            behind |= {edge.start for edge in way if edge.end in behind}
        assert behind & {*graph.stage(SHALLOW), *graph.stage(LAYERS)}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_no_two_nodes_stand_in_the_same_place_and_all_fit(graph, width):
    layout = ChainLayout.fit(graph, width)
    assert width < 80 or layout.width <= width
    taken = {}
    for name in graph.nodes:
        x, y = layout.place(graph, name)
        assert 0 <= y < layout.height
        for cell in range(x, x + len(layout.label(graph, name))):
            assert taken.setdefault((cell, y), name) == name


@pytest.mark.parametrize("width", [60, 80, 120])
def test_an_edge_runs_from_behind_its_start_to_before_its_end(graph, width):
    layout = ChainLayout.fit(graph, width)
    labels = set()
    for name in graph.nodes:
        x, y = layout.place(graph, name)
        labels |= {(cell, y) for cell in range(x, x + len(layout.label(graph, name)))}
    drawn = set()
    for edge, corners, arrow in layout.routes(graph, graph.root):
        drawn.add(edge)
        assert corners[0][1] == layout.rows[edge.start]
        assert corners[-1][1] == layout.rows[edge.end]
        for (x, y), (to_x, to_y) in pairwise(corners):
            assert x == to_x or y == to_y
            cells = {(cell, y) for cell in range(min(x, to_x), max(x, to_x) + 1)}
            assert not cells & labels
        end, _ = layout.place(graph, edge.end)
        assert (corners[-1][0] < end) == (arrow == "▶")
    deep = set(graph.deep)
    assert drawn == {
        edge
        for edge in graph.edges
        if not {edge.start, edge.end} <= deep or graph.root in (edge.start, edge.end)
    }


def test_a_chain_that_is_not_whole_can_be_drawn_too(graph):
    result = recorded_result()
    ranked = result.step.ranked(result.rows)
    for count in range(ranked.height + 1):
        part = ChainGraph(ranked.head(count))
        layout = ChainLayout.fit(part, 80)
        assert all(name in layout.rows for name in part.nodes)
        list(layout.routes(part, part.root))


def test_hostile_tokens_do_not_break_a_label(graph):
    name = graph.stage(SHALLOW)[0]
    node = graph.nodes[name]
    for token in ("\n[red]", "日本語", "a\u0301\u0301\u0301", "\u202eabc", ""):
        node["reads"], node["tokens_through"] = token, [token]
        label = ChainLayout.fit(graph, 130).label(graph, name)
        assert label.startswith(name)
        assert "\n" not in label
        assert "\u202e" not in label
