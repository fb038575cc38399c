"""`inspect` from the command line: what was exported is found again."""

from __future__ import annotations

import json

from tiny_folder import write_tiny_model

from sessions.provenance import PROVENANCE
from workbench.models import ResolvedModel

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


def recorded(folder, **base):
    """Have an export say that it was made of another model."""
    path = folder / PROVENANCE
    said = json.loads(path.read_text("utf-8"))
    said["base"] |= base
    path.write_text(json.dumps(said), "utf-8")


def test_an_export_says_itself_what_it_was_made_of(
    on_tiny, workbench, tiny_folder, tmp_path, monkeypatch
):
    on_tiny("export", tmp_path / "out", *CHANGE)
    asked = []

    def resolve(model, progress):
        asked.append(model)
        return ResolvedModel(model, tiny_folder if len(asked) % 2 == 0 else out, model)

    out = tmp_path / "out"
    monkeypatch.setattr("workbench.models.resolve", resolve)
    for base, name in (
        ({"name": "smollm2-135m", "source": "a release"}, "smollm2-135m"),
        ({"name": "some/model", "source": "some/model", "revision": "abc"}, "some/model@abc"),
    ):
        recorded(out, **base)
        outcome = workbench("inspect", out)
        assert outcome.code == 0, outcome.err
        assert asked[-1] == name
        assert f"beside {name}, which out says it was made of" in outcome.err
        assert "1 head (1 zeroed); 1 neuron (1 scaled)" in outcome.out


def test_a_base_that_is_not_recorded_or_not_to_be_found_is_asked_for(
    on_tiny, refused, tiny_folder, tmp_path
):
    on_tiny("export", tmp_path / "out", *CHANGE)
    for folder, message in (
        (tmp_path / "none", "there is no folder"),
        (tiny_folder, "tiny does not say what it was made of; give --base MODEL"),
        (tmp_path / "out", "out was made of tiny, which is no model of the catalogue or the hub"),
    ):
        assert message in refused("inspect", folder)


def test_a_model_beside_itself_does_not_differ(workbench, tiny_folder):
    outcome = workbench("inspect", tiny_folder, "--base", tiny_folder)
    assert outcome.code == 0
    assert "tiny beside tiny: no difference" in outcome.out


def test_other_weights_differ_everywhere(workbench, tiny_folder, tmp_path):
    other = write_tiny_model(tmp_path / "other", seed=1)
    outcome = workbench("inspect", other, "--base", tiny_folder)
    assert outcome.code == 0
    assert "12 heads (12 otherwise); 144 neurons (144 otherwise)" in outcome.out


def test_bad_input_is_one_line(refused, tiny_folder, tmp_path):
    for folder, base, message in (
        (tmp_path / "none", tiny_folder, "there is no folder"),
        (tmp_path, tiny_folder, "holds no model: config.json is missing"),
        (tiny_folder, "nothing", "unknown model 'nothing'"),
    ):
        assert message in refused("inspect", folder, "--base", base)
