"""Exports: what transformers and the workbench load is the live variant, or nothing is there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from command_lines import CASE
from safetensors.torch import load_file
from tiny_folder import write_tiny_adapter
from transformers import AutoModelForCausalLM, AutoTokenizer

from analysis.changes import Changes
from sessions.provenance import MASK, PROVENANCE, Provenance, read_changes

CHANGE = ["--change", "L1H2", "--change", "L0N5,L2N7=0.5"]
CHANGES = Changes.parse(CHANGE[1::2])
PROMPT = "3 + 5 = "


def live_logits(model, ids):
    with torch.no_grad(), model.changed(CHANGES.interventions):
        return model.hf(torch.tensor([ids])).logits


@pytest.fixture(scope="module")
def adapter(tiny_folder, tmp_path_factory):
    return write_tiny_adapter(tiny_folder, tmp_path_factory.mktemp("adapters") / "lora", "v_proj")


def test_plain_transformers_loads_what_is_exported(on_tiny, tiny_model, tiny_folder, tmp_path):
    before = {each.name: each.read_bytes() for each in tiny_folder.iterdir()}
    document = on_tiny("export", tmp_path / "out", *CHANGE, "--json").document
    hf = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = AutoTokenizer.from_pretrained(tmp_path / "out")(PROMPT).input_ids
    with torch.no_grad():
        assert torch.equal(hf(torch.tensor([ids])).logits, live_logits(tiny_model, ids))
    assert {each.name: each.read_bytes() for each in tiny_folder.iterdir()} == before
    assert document == json.loads((tmp_path / "out" / PROVENANCE).read_text())
    assert [each.name for each in tmp_path.glob(".*")] == []


def test_the_workbench_opens_what_is_exported(on_tiny, workbench, tmp_path):
    on_tiny("export", tmp_path / "out", *CHANGE)
    live = on_tiny("gains", *CASE, *CHANGE, "--json").document
    again = workbench("gains", *CASE, "--model", tmp_path / "out", "--json").document
    for mine, theirs in zip(live["rows"], again["rows"], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-5)


def test_provenance_says_of_what_and_how(on_tiny, tiny_model, tmp_path):
    on_tiny("export", tmp_path / "out", *CHANGE)
    record = Provenance.read(tmp_path / "out" / PROVENANCE)
    assert record.format == "hf"
    assert record.changes == ("L1H2", "L0N5,L2N7=0.5")
    assert record.base.weights_sha256 == tiny_model.info.weights_sha256
    assert record.base.versions["transformers"]
    assert (record.session, record.measured) == (None, ())
    assert read_changes(tmp_path / "out") == CHANGES
    assert str(tmp_path) not in (tmp_path / "out" / PROVENANCE).read_text()


def test_whoever_may_read_the_folder_may_read_every_file(on_tiny, tmp_path):
    on_tiny("export", tmp_path / "out", *CHANGE)
    mode = (tmp_path / "out").stat().st_mode & 0o666
    files = [each for each in (tmp_path / "out").rglob("*") if each.is_file()]
    assert "model.safetensors" in {each.name for each in files}
    assert {each.stat().st_mode & 0o777 for each in files} == {mode}


def test_a_mask_is_the_changes_and_reads_back(on_tiny, tmp_path):
    on_tiny("export", tmp_path / "out", *CHANGE, "--format", "mask")
    assert [each.name for each in (tmp_path / "out").iterdir()] == [MASK]
    for place in (tmp_path / "out", tmp_path / "out" / MASK):
        read = on_tiny("gains", *CASE, "--change", f"@{place}", "--json").document
        given = on_tiny("gains", *CASE, *CHANGE, "--json").document
        assert read["rows"] == given["rows"]


def test_an_adapter_is_copied_with_its_provenance(on_tiny, adapter, tmp_path):
    on_tiny("export", tmp_path / "out", "--format", "adapter", "--adapter", adapter)
    names = {"adapter_config.json", "adapter_model.safetensors", PROVENANCE}
    assert {each.name for each in (tmp_path / "out").iterdir()} == names
    worn = on_tiny("gains", *CASE, "--adapter", tmp_path / "out", "--json").document
    own = on_tiny("gains", *CASE, "--adapter", adapter, "--json").document
    assert worn["rows"] == own["rows"]
    assert Provenance.read(tmp_path / "out" / PROVENANCE).base.adapter == "lora"


def test_a_model_wearing_an_adapter_is_exported_with_it_merged(
    on_tiny, workbench, adapter, tmp_path
):
    on_tiny("export", tmp_path / "out", *CHANGE, "--adapter", adapter)
    live = on_tiny("gains", *CASE, *CHANGE, "--adapter", adapter, "--json").document
    again = workbench("gains", *CASE, "--model", tmp_path / "out", "--json").document
    assert live["baseline"]["logprob"] == pytest.approx(again["baseline"]["logprob"], abs=1e-4)


def test_an_unchanged_model_is_exported_as_it_is(on_tiny, tiny_folder, tmp_path):
    record = on_tiny("export", tmp_path / "out", "--json").document
    assert (record["changes"], record["dtype"]) == ([], "float32")
    stored, own = (
        load_file(each / "model.safetensors") for each in (tmp_path / "out", tiny_folder)
    )
    assert stored.keys() == own.keys()
    assert all(torch.equal(stored[name], each) for name, each in own.items())


def test_weights_are_stored_in_the_dtype_asked_for(on_tiny, workbench, tiny_folder, tmp_path):
    half = ["--change", "L1H2", "--change", "L0N5=0.3", "--dtype", "bfloat16"]
    record = on_tiny("export", tmp_path / "half", *half, "--json").document
    assert (record["dtype"], record["base"]["dtype"]) == ("bfloat16", "float32")
    on_tiny("export", tmp_path / "whole", *half[:4])
    stored, whole = (load_file(tmp_path / each / "model.safetensors") for each in ("half", "whole"))
    assert all(torch.equal(stored[name], each.bfloat16()) for name, each in whole.items())
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half").dtype == torch.bfloat16
    inspected = ("inspect", tmp_path / "half", "--base", tiny_folder, "--json")
    verdict = workbench(*inspected).document["verdict"]
    assert verdict.startswith("2 of 29 tensors differ; 1 head (1 zeroed); 1 neuron")


def test_an_empty_folder_may_be_there(on_tiny, tmp_path):
    (tmp_path / "out").mkdir()
    on_tiny("export", tmp_path / "out", *CHANGE)
    assert (tmp_path / "out" / "config.json").exists()


@pytest.fixture
def refused(refused, tiny, tmp_path):
    """Runs an export that must be refused in one line; nothing new lies anywhere."""

    def lying() -> set[Path]:
        return {each for each in tmp_path.rglob("*") if "state" not in each.parts}

    def run(*arguments, code=2):
        before = lying()
        line = refused("export", *arguments, *tiny, code=code)
        assert lying() == before
        return line

    return run


def test_folders_that_cannot_be_taken_are_refused(refused, tmp_path, tiny_folder):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert "full is not empty; name a new folder" in refused(tmp_path / "full", *CHANGE)
    assert "file is a file" in refused(tmp_path / "file", *CHANGE)
    assert "link is a link" in refused(tmp_path / "link", *CHANGE)
    assert "there is no folder" in refused(tmp_path / "none" / "out", *CHANGE)
    assert "is not empty" in refused(tiny_folder, *CHANGE)
    assert "in the folder of the model itself" in refused(tiny_folder / "out", *CHANGE)


def test_what_cannot_be_exported_is_refused(refused, adapter, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert "nothing is changed" in refused(out, "--format", "mask")
    assert "--format: 'gguf' is no format" in refused(out, *CHANGE, "--format", "gguf")
    assert "wears no adapter" in refused(out, "--format", "adapter")
    line = refused(out, *CHANGE, "--format", "adapter", "--adapter", adapter)
    assert "an adapter cannot hold changes of heads and neurons" in line
    assert "L9H0 is not in tiny" in refused(out, "--change", "L9H0")
    assert "a factor of nan" in refused(out, "--change", "L0H0=nan")
    assert "no session" in refused(out, "--session", "nowhere").lower()
    monkeypatch.setenv("WORKBENCH_READONLY", "1")
    assert "read-only" in refused(out, *CHANGE)


def test_without_room_on_the_disk_nothing_is_written(refused, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 1_000_000))
    line = refused(tmp_path / "out", *CHANGE, code=1)
    assert "the export needs 0.02 GB on disk, 0.00 GB are free there" in line


def test_a_disk_that_fills_up_leaves_nothing(refused, tmp_path, monkeypatch):
    import analysis.changing.saving

    def full(model, state, folder):
        (folder / "config.json").write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(analysis.changing.saving, "save_weights", full)
    assert "No space left on device" in refused(tmp_path / "out", *CHANGE, code=1)


def test_changes_and_measurements_are_taken_from_a_session(on_tiny, workbench, tmp_path):
    on_tiny("gains", *CASE, *CHANGE, "--session", "mine")
    record = on_tiny("export", tmp_path / "out", "--session", "mine", "--json").document
    assert record["changes"] == list(CHANGES.texts)
    assert (record["session"], record["measured"]) == ("mine", [])
    on_tiny("gains", *CASE, "--session", "plain")
    outcome = workbench("export", tmp_path / "none", "--session", "plain")
    assert outcome.code == 2
    assert "session plain has no changes; name them with --change" in outcome.err


KILLED = """
import sys, time
import analysis.folders
from workbench.cli import run

def stuck(path):
    print("all is written", flush=True)
    time.sleep(60)

analysis.folders.sync = stuck
run(["export", *sys.argv[1:]])
"""


def test_killed_in_the_middle_it_leaves_nothing_under_the_final_name(
    on_tiny, tiny_folder, tmp_path
):
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(out), *CHANGE, "--model", str(tiny_folder)]
    before = {each.name: each.read_bytes() for each in tiny_folder.iterdir()}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2], env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "all is written\n"
        process.kill()
    assert not out.exists()
    assert len(list(tmp_path.glob(".new-*-out"))) == 1
    assert {each.name: each.read_bytes() for each in tiny_folder.iterdir()} == before
    on_tiny("export", out, *CHANGE)
    assert list(tmp_path.glob(".new-*-out")) == []
    assert (out / PROVENANCE).exists()


@pytest.mark.parametrize(
    ("command", "undone"),
    [
        (["lora", "--layers", "1", "--task", "add1"], "trained"),
        (["prune", "--task", "add1", "--head", "L1H1", "--from-layer", "1"], "pruned"),
        (["export", "changed", "--change", "L1H1"], "exported"),
    ],
)
def test_a_read_only_workbench_refuses_every_command_that_changes(
    workbench, monkeypatch, tmp_path, command, undone
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_READONLY", "true")
    outcome = workbench(*command)
    assert outcome.code == 2
    assert outcome.err == (
        f"workbench: the workbench is read-only (setting readonly): nothing is {undone}\n"
    )
    assert list(tmp_path.glob("changed*")) == []
