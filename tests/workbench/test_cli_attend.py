"""Looking at heads from the command line: rows, patterns, what a head looks for, bad input."""

from __future__ import annotations

import pytest
from command_lines import CASE

KEYS = ["name", "layer", "head", "query", "key", "query_token", "key_token"]
KEYS += ["weight", "value_weighted"]
PATTERNS = ["name", "layer", "head", "previous", "duplicate", "induction", "first"]


def test_heads_are_named_one_by_one_or_joined_and_a_table_begins_with_all_of_them(on_tiny):
    found = on_tiny("attend", "L1H0,L2H1", "L1H0", *CASE, "--json").document
    assert list(found["rows"][0]) == KEYS
    assert {row["name"] for row in found["rows"]} == {"L1H0", "L2H1"}
    tokens = found["baseline"]["tokens"]
    last = [row for row in found["rows"] if row["query"] == len(tokens) - 1]
    assert last == found["rows"][: len(last)]
    assert sum(row["weight"] for row in last) == pytest.approx(2)
    assert all(tokens[row["key"]] == row["key_token"] for row in found["rows"])
    kept = on_tiny("attend", "L1H0", *CASE, "--top", "2", "--json").document
    assert len(kept["rows"]) == 2 * len(tokens) - 1
    long = on_tiny("attend", "L0H0", "L1H0", "L2H1", "--prompt", "3 + 5 = " * 5).out
    assert all(name in long for name in ("L0H0", "L1H0", "L2H1", "more rows"))


def test_patterns_of_heads_are_told_on_the_tokens_of_a_file(on_tiny, tmp_path):
    path = tmp_path / "tokens"
    ids, found = ["7", "31", "12", "44"], []
    for each in (ids, ids * 2):
        path.write_text("\n".join(each) + "\n")
        found.append(on_tiny("attend", "--detect", "--tokens", path, "--json").document)
    once, twice = found
    assert list(once["rows"][0]) == PATTERNS
    assert once["step"]["tokens"] == twice["step"]["tokens"] == [7, 31, 12, 44]
    assert once["rows"] == twice["rows"]
    values = [row["induction"] for row in once["rows"]]
    assert values == sorted(values, reverse=True)
    more = ("--copying", "--length", "5", "--seed", "3", "--json")
    some = on_tiny("attend", "--detect", "L1H0", *more)
    assert some.document["step"]["seed"] == 3
    assert list(some.document["rows"][0]) == [*PATTERNS, "copying"]


def test_what_a_head_looks_for_is_a_way_to_read_a_vector(on_tiny):
    found = on_tiny("project", "L0N3", "--looks-for", "L1H0", "--json").document
    assert found["step"]["looks_for"] == "L1H0"
    assert "looks_for" not in on_tiny("project", "L0N3", "--json").document["step"]
    assert "L0N3 as a query of L1H0" in on_tiny("project", "L0N3", "--looks-for", "L1H0").out


def test_what_is_recorded_is_checked_and_compared(on_tiny, workbench, tiny):
    for name in ("mine", "other"):
        on_tiny("attend", "L1H0", *CASE, "--session", name)
        on_tiny("attend", "--detect", "--length", "5", "--session", name)
    checked = workbench("replay", "mine", "--check", *tiny, "--json").document
    assert [each["agrees"] for each in checked] == [True, True]
    difference = workbench("sessions", "diff", "mine", "other", "--json").document
    assert difference["same"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["L9H0", *CASE], "L9H0 is not in"),
        (["L1", *CASE], "'L1' is not the name of a head"),
        ([*CASE], "name a head to look at, as L20H8; or --detect for all of them"),
        (["L1H0"], "give either --prompt or --task"),
        (["L1H0", "--prompt", ""], "the prompt is empty"),
        (["L1H0", *CASE, "--corrupt", "a"], "attend reads one prompt as it is"),
        (["L1H0", *CASE, "--by", "place"], "choose role or end"),
        (["L1H0", *CASE, "--copying"], "--copying goes with --detect"),
        (["--detect", "--prompt", "a"], "--detect reads random tokens; leave out --prompt"),
        (["--detect", "--copying"], "--copying takes long; name the heads"),
        (["--detect", "--length", "90000"], "90000 random tokens are more than"),
        (["--detect", "--tokens", "none"], "--tokens: cannot read none"),
        (["--detect", "--tokens", "words"], "--tokens: words line 2 is 'two'; give token ids"),
        (["--detect", "--tokens", "one"], "--tokens: one has 1 of them; give two or more"),
        (["--detect", "--tokens", "large"], "there is no token 999999"),
    ],
)
def test_what_cannot_be_looked_at_is_said_in_one_line(
    workbench, tiny, tmp_path, monkeypatch, given, said
):
    for name, text in {"words": "1\ntwo\n", "one": "1\n\n", "large": "1\n999999\n"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    refused = workbench("attend", *given, *tiny)
    assert refused.code == 2, refused.err
    assert said in refused.err.splitlines()[-1]
