"""Direct attribution from the command line: rows and their sum, recorded, checked, exported."""

from __future__ import annotations

import json

import pytest

CASE = ("--prompt", "one and 3 is", "--answer", "1", "--wrong", "9")
KEYS = ["unit", "name", "layer", "head", "position", "token", "logit_difference"]
KEYS += ["logprob_increase"]


def test_the_parts_are_printed_under_their_sum(on_tiny):
    printed = on_tiny("direct", *CASE)
    for words in ("logit difference ", "embedding ", "heads ", "ffn ", "biases ", "sum ", "off "):
        assert words in printed.out
    assert "token" not in printed.out  # no part has one
    found = on_tiny("direct", *CASE, "--json").document
    assert list(found["rows"][0]) == KEYS
    total = sum(row["logit_difference"] for row in found["rows"])
    assert total == pytest.approx(found["baseline"]["logit_difference"], abs=1e-4)


def test_neurons_sources_and_tokens_are_asked_for_by_options(on_tiny):
    neurons = on_tiny("direct", *CASE, "--unit", "neuron", "--top", "3", "--json").document
    assert [row["unit"] for row in neurons["rows"]] == ["neuron"] * 3
    sources = on_tiny("direct", *CASE, "--sources", "L1H0", "--positions", "0,-1").out
    assert "L1H0@0" in sources
    assert "sources off" in sources
    tokens = on_tiny("direct", *CASE, "--inputs")
    for words in ("gradient input", "integrated", "at baseline input", "difference", "off"):
        assert words in tokens.out
    document = on_tiny("direct", *CASE, "--inputs", "--json").document
    assert document["step"]["kind"] == "inputs"
    assert document["baseline"]["baseline_input"].startswith("the mean embedding")


def test_cases_of_a_file_have_intervals(on_tiny, tmp_path):
    path = tmp_path / "mine.json"
    cases = [{"prompt": "2 + 3 = ", "answer": "5", "wrong": each} for each in "679"]
    path.write_text(json.dumps(cases))
    found = on_tiny("direct", "--task", path, "--json").document
    assert list(found["rows"][0]) == [
        *KEYS[:7],
        "low",
        "high",
        KEYS[7],
        "logprob_low",
        "logprob_high",
    ]
    assert all(row["low"] <= row["logit_difference"] <= row["high"] for row in found["rows"])
    assert found["baseline"]["cases"] == 3


def test_what_is_recorded_is_checked_compared_and_exported(on_tiny, workbench, tiny, tmp_path):
    for name in ("mine", "other"):
        on_tiny("direct", *CASE, "--session", name)
        on_tiny("direct", *CASE, "--sources", "L1H0", "--session", name)
        on_tiny("direct", *CASE, "--inputs", "--session", name)
    checked = workbench("replay", "mine", "--check", *tiny, "--json").document
    assert [each["agrees"] for each in checked] == [True] * 3
    difference = workbench("sessions", "diff", "mine", "other", "--json").document
    assert (difference["same"], difference["only_second"]) == (True, [])
    assert workbench("sessions", "export", "mine", tmp_path / "report").code == 0
    assert "direct attribution" in (tmp_path / "report" / "report.md").read_text("utf-8")
    assert workbench("sessions", "export", "mine", tmp_path / "rows", "--format", "csv").code == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "no prompt; give one"),
        ((*CASE, "--sources", "L9H0"), "L9H0 is not in"),
        ((*CASE, "--sources", "L1"), "--sources: 'L1' is not the name of a head"),
        ((*CASE, "--sources", "L1H0", "--positions", "99"), "position 99 is beyond a prompt"),
        ((*CASE, "--positions", "1"), "--positions are those that heads attend to"),
        ((*CASE, "--top", "3"), "--top is how many neurons; give --unit neuron too"),
        ((*CASE, "--unit", "layer"), "--unit layer: choose head or neuron"),
        ((*CASE, "--inputs", "--unit", "neuron"), "--inputs takes no parts"),
        (("--task", "add1", "--inputs"), "--inputs reads one prompt at a time"),
        ((*CASE, "--task", "add1"), "give either --prompt or --task"),
        (("--prompt", "a", "--answer", "b", "--wrong", "b"), "given as the answer and as wrong"),
    ],
)
def test_what_cannot_be_taken_apart_is_refused_in_one_line(workbench, tiny, options, reason):
    refused = workbench("direct", *options, *tiny)
    assert refused.code == 2, refused.err
    assert reason in refused.err.splitlines()[-1]
