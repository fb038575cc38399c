"""Variants from the command line: given, recorded, computed again, and refused."""

from __future__ import annotations

import json

import pytest
from command_lines import CASE

from sessions import Session


def test_a_step_on_a_variant_says_so_in_document_record_and_title(on_tiny):
    change = ["--change", "L0H1=0.5", "--change", "L1N4,L1N5", "--change", "L1N4=2"]
    document = on_tiny("neurons", *CASE, *change, "--json").document
    assert [each["factor"] for each in document["step"]["changes"]] == [0.5, 0.0, 2.0]
    plain = on_tiny("neurons", *CASE, "--json").document
    assert "changes" not in plain["step"]
    assert document["baseline"]["logprob"] != pytest.approx(plain["baseline"]["logprob"], abs=1e-4)
    recorded = Session.open(document["step"]["session"]).steps[0]
    assert recorded.step.title.endswith(" · with L0H1 × 0.5, L1N5 zeroed, L1N4 × 2")


@pytest.mark.parametrize(
    "command",
    [
        ["heads", *CASE],
        ["cna", *CASE, "--ablate", "L0H0"],
        ["gains", *CASE],
        ["lens", *CASE],
        ["ablate", "L1H1", *CASE],
        ["project", "L2N3", "--prompt", "3 + 5 = "],
        ["chain", *CASE, "--head", "L1H0"],
        ["hidden", "--concepts", "3,5"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_takes_changes_and_a_replay_computes_them_again(
    on_tiny, workbench, tiny_folder, command
):
    document = on_tiny(*command, "--change", "L0H1", "--json").document
    again = workbench(
        "replay", document["step"]["session"], "--check", "--model", tiny_folder, "--json"
    )
    assert again.code == 0, again.err
    assert again.document[0]["difference"] < 1e-6


def test_changes_are_read_from_a_file(on_tiny, tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"changes": ["L0H1=0.5", "L1N4"]}))
    read = on_tiny("gains", *CASE, "--change", f"@{tmp_path / 'mine.json'}", "--json").document
    given = on_tiny("gains", *CASE, "--change", "L0H1=0.5", "--change", "L1N4", "--json").document
    assert read["step"]["changes"] == given["step"]["changes"]
    assert read["rows"] == given["rows"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1", "'L1' names neither a head nor a neuron; write L20H8 or L3N7"),
        ("L1H2=nan", "a factor of nan is not a finite number; 0 takes parts away"),
        ("L1H2=inf", "a factor of inf is not a finite number"),
        ("L1H2=x", "the factor 'x' is not a number"),
        ("L9H2", "L9H2 is not in tiny: it has layers 0 to 2 with heads 0 to 3"),
        ("L0N48=2", "L0N48 is not in tiny: it has layers 0 to 2 with neurons 0 to 47"),
        ("@nowhere.json", "no changes in nowhere.json: it is missing"),
    ],
)
def test_what_is_no_change_is_refused_in_one_line(refused, tiny_folder, text, message):
    assert message in refused("gains", *CASE, "--change", text, "--model", tiny_folder)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"changes": ["L1"]}', '{"changes": 3}'])
def test_a_file_without_changes_is_refused_in_one_line(refused, tmp_path, content):
    file = tmp_path / "mine.json"
    file.write_text(content)
    line = refused("gains", *CASE, "--change", f"@{file}")
    assert f"no changes in {file}: it is damaged" in line


def test_a_table_of_the_paper_is_measured_on_a_variant(on_tiny, workbench, tiny_folder):
    command = ["paper", "--table", "T27", "--cases", "3", "--shots", "1", "--session", "mine"]
    varied = on_tiny(*command, "--change", "L0H1", "--json").document
    session = Session.open("mine")
    changes = [[str(each) for each in recorded.step.changes] for recorded in session.steps]
    assert changes == [["L0H1 zeroed"]] * len(session.steps)
    again = workbench("replay", "mine", "--check", "--model", tiny_folder, "--json")
    assert again.code == 0, again.err
    plain = on_tiny(*command[:-1], "plain", "--json").document
    assert varied["tables"][0]["rows"] != plain["tables"][0]["rows"]
