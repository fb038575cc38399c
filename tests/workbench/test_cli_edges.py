"""Edges and faithfulness from the command line: asked for by a pair of prompts."""

from __future__ import annotations

import pytest

PAIR = ("--prompt", "one and 3 is", "--corrupt", "two and 4 is", "--answer", "1", "--wrong", "9")
KEYS = {"name", "source", "target", "input", "score", "verified", "rank"}


def test_edges_are_rows_with_fixed_keys_the_strongest_verified(on_tiny):
    asked = on_tiny("edges", *PAIR, "--method", "eap-ig", "--verify", 5, "--keep", 9, "--json")
    rows = asked.document["rows"]
    assert [row["rank"] for row in rows] == list(range(1, 10))
    assert {each for row in rows for each in row} == KEYS
    assert [row["verified"] is None for row in rows] == [False] * 5 + [True] * 4
    assert asked.document["baseline"]["metric"] == "logit_difference"
    assert "rank agreement of the estimates with the exact values" in asked.err
    assert "worst miss" in asked.err


def test_a_faithfulness_curve_says_its_areas_and_how_edges_were_ranked(on_tiny):
    asked = on_tiny("faithfulness", *PAIR, "--shares", "0.5,1", "--ranking", "signed")
    assert "edges ranked by signed score" in asked.err
    assert "CPR" in asked.err
    assert "edges" in asked.out


@pytest.mark.parametrize(
    ("command", "options", "reason"),
    [
        ("edges", PAIR[:2], "there is no corrupt prompt"),
        ("edges", (*PAIR, "--method", "atp"), "--method atp: choose eap or eap-ig"),
        ("edges", (*PAIR, "--metric", "accuracy"), "--metric accuracy: choose logit_difference or"),
        ("faithfulness", (*PAIR, "--shares", "20"), "a share of the edges is 0 to 1"),
    ],
)
def test_what_makes_no_edges_is_one_line(refused, command, options, reason):
    assert refused(command, *options).startswith(reason)
