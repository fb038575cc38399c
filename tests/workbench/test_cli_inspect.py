"""`inspect` from the command line: what was exported is found again."""

from __future__ import annotations

from tiny_folder import write_tiny_model

CHANGE = ["--change", "L1H2", "--change", "L0N5=0.5"]


def test_an_export_is_told_from_its_base(on_tiny, workbench, tiny_folder, tmp_path):
    on_tiny("export", tmp_path / "out", *CHANGE)
    command = ["inspect", tmp_path / "out", "--base", tiny_folder]
    document = workbench(*command, "--json").document
    parts = {row["name"]: row["factor"] for row in document["rows"] if row["kind"] != "tensor"}
    assert parts == {"L1H2": 0.0, "L0N5": 0.5}
    outcome = workbench(*command)
    assert (outcome.code, outcome.err) == (0, "")
    assert "L1H2" in outcome.out
    assert "tensors differ; 1 head (1 zeroed); 1 neuron (1 scaled)" in outcome.out


def test_a_model_beside_itself_does_not_differ(workbench, tiny_folder):
    outcome = workbench("inspect", tiny_folder, "--base", tiny_folder)
    assert outcome.code == 0
    assert "tiny beside tiny: no difference" in outcome.out


def test_other_weights_differ_everywhere(workbench, tiny_folder, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=1)
    outcome = workbench("inspect", other, "--base", tiny_folder)
    assert outcome.code == 0
    assert "12 heads (12 otherwise); 144 neurons (144 otherwise)" in outcome.out


def test_bad_input_is_one_line(workbench, tiny_folder, tmp_path):
    for folder, base, message in (
        (tmp_path / "none", tiny_folder, "there is no folder"),
        (tmp_path, tiny_folder, "holds no model: config.json is missing"),
        (tiny_folder, "nothing", "unknown model 'nothing'"),
    ):
        outcome = workbench("inspect", folder, "--base", base)
        assert (outcome.code, outcome.out) == (2, "")
        assert message in outcome.err
        assert outcome.err.count("\n") == 1
