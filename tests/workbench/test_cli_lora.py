"""LoRA and pruning from the command line: kept, loaded again, resumed, killed, refused."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from command_lines import CASE, PROGRAM, files_of
from waiting import PATIENCE, until_seen

import analysis.changing.lora
from sessions import Session, list_sessions, remove_session

QUICK = ["--task", "add1", "--lr", "1e-2", "--epochs", "2", "--rank", "2"]


def test_adapters_are_kept_in_the_session_and_load_back(on_tiny, workbench):
    document = on_tiny("lora", "--layers", "0,2", *QUICK, "--compare", "2", "--json").document
    finished = {row["adapter"]: row for row in document["rows"] if row["adapter"]}
    assert list(finished) == ["lora-L0", "lora-L2"]
    assert document["baseline"]["test_cases"] == 4
    session = Session.open(document["step"]["session"])
    recorded = session.step(1)
    assert recorded.files is not None
    adapter = recorded.files / "lora-L2"
    assert recorded.size_bytes > sum(map(len, files_of(recorded.files).values()))
    assert list_sessions()[0].size_bytes == session.size_bytes > recorded.size_bytes

    split = recorded.step.split
    task = adapter.parent.parent.parent.parent / "test.jsonl"
    task.write_text("".join(case.model_dump_json() + "\n" for case in split.test))
    worn = on_tiny("ablate", "L0N0", "--task", task, "--adapter", adapter, "--json").document
    assert worn["model"]["adapter"] == "lora-L2"
    assert worn["baseline"]["logprob"] == pytest.approx(finished["lora-L2"]["logprob"], abs=1e-5)
    assert on_tiny("cna", *CASE, "--adapter", adapter, "--json").document["rows"]


def test_the_session_opens_and_ends_like_any_other(on_tiny, workbench, tiny):
    on_tiny("lora", "--layers", "1", *QUICK, "--session", "mine", "--json")
    shown = workbench("sessions", "show", "mine")
    assert shown.code == 0
    checked = workbench("replay", "mine", "--check", "--json", *tiny)
    assert checked.code == 0, checked.err
    assert checked.document[0]["agrees"]
    assert checked.document[0]["difference"] < 1e-5
    remove_session("mine")
    assert list_sessions() == []


def test_out_names_a_folder_for_the_adapters(on_tiny, workbench, tiny, tmp_path):
    out = tmp_path / "adapters"
    command = ["lora", "--layers", "1", *QUICK, "--out", out]
    outcome = on_tiny(*command, "--json")
    assert [each.name for each in out.iterdir()] == ["lora-L1"]
    assert Session.open(outcome.document["step"]["session"]).step(1).files is None
    assert on_tiny(*command).code == 0
    other = workbench(*command, "--seed", "7", *tiny)
    assert other.code == 2
    assert "adapters has another lora-L1 already; choose another --out" in other.err
    assert other.err.splitlines()[-1].startswith("workbench: ")


def test_interrupted_training_keeps_finished_layers_and_resumes(
    on_tiny, workbench, tiny, monkeypatch
):
    train = analysis.changing.training.train_batch
    calls = []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 6:  # two batches an epoch, two epochs a layer
            raise KeyboardInterrupt
        return train(*arguments)

    monkeypatch.setattr("analysis.changing.training.train_batch", interrupted)
    command = ["lora", "--layers", "0-1", *QUICK, "--session", "mine"]
    stopped = workbench(*command, *tiny)
    assert stopped.code == 130
    recorded = Session.open("mine").step(1)
    assert recorded.info.state == "stopped"
    kept = files_of(recorded.files)
    assert [each.name for each in recorded.files.iterdir()] == ["lora-L0"]

    resumed = workbench("resume", "mine", *tiny)
    assert resumed.code == 0, resumed.err
    recorded = Session.open("mine").step(1)
    assert recorded.info.state == "done"
    assert sorted(each.name for each in recorded.files.iterdir()) == ["lora-L0", "lora-L1"]
    assert kept.items() <= files_of(recorded.files).items()
    on_tiny("lora", "--layers", "0-1", *QUICK, "--session", "whole", "--json")
    expected = Session.open("whole").step(1).rows().sort("name").drop("seconds")
    assert recorded.rows().sort("name").drop("seconds").equals(expected)


def test_a_killed_training_leaves_finished_adapters_and_no_half_one(
    on_tiny, tiny_folder, tiny, tmp_path
):
    base = files_of(tiny_folder)
    out = tmp_path / "adapters"
    command = ["lora", "--layers", "0-2", *QUICK, "--epochs", "25", "--out", out]
    command += ["--session", "killed", *tiny]
    process = subprocess.Popen(
        [*PROGRAM, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    until_seen(process, (out / "lora-L0").exists)
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE)
    assert files_of(tiny_folder) == base
    finished = [each for each in out.iterdir() if not each.name.startswith(".")]
    assert finished
    for folder in finished:
        assert json.loads((folder / "training.json").read_text())["tuning"]["epochs"] == 25
        assert (folder / "adapter_model.safetensors").stat().st_size > 0
    assert Session.open("killed").step(1).info.state == "interrupted"
    on_tiny("resume", "killed")
    assert sorted(each.name for each in out.iterdir()) == ["lora-L0", "lora-L1", "lora-L2"]


def test_a_half_written_adapter_never_has_its_name(on_tiny, workbench, tiny, monkeypatch):
    def full(self, folder):
        (folder / "adapter_config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(analysis.changing.lora.Lora, "save", full)
    command = ["lora", "--layers", "1", *QUICK, "--session", "mine"]
    outcome = workbench(*command, *tiny)
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == (
        "workbench: cannot write lora-L1: No space left on device"
    )
    files = Session.open("mine").step(1).files
    assert files is not None
    assert list(files.iterdir()) == []


def test_pruning_stands_beside_its_random_control(on_tiny):
    outcome = on_tiny(
        "prune", "--from-layer", "1", "--task", "add1", "--head", "L0H1", "--top", "5", "--json"
    )
    rows = {row["name"]: row for row in outcome.document["rows"]}
    assert list(rows)[:5] == ["original", "pruned", "pruned, compact", "random", "case 1"]
    compared = outcome.document["baseline"]["compared_cases"]
    assert list(rows)[4:] == [f"case {number}" for number in range(1, compared + 1)]
    assert rows["pruned"]["neurons"] == rows["random"]["neurons"] < rows["original"]["neurons"]
    assert rows["pruned, compact"]["parameters"] < rows["pruned"]["parameters"]
    assert rows["pruned, compact"]["difference"] < 1e-5


TRAIN = ["lora", "--task", "add1"]
PRUNE = ["prune", "--from-layer", "1", "--task", "add1"]
BEFORE_LOADING = {
    "rank 0": ([*TRAIN, "--layers", "1", "--rank", "0"], "Invalid value for '--rank': "),
    "batch 0": ([*TRAIN, "--layers", "1", "--batch", "0"], "Invalid value for '--batch': "),
    "from -1": (
        ["prune", "--task", "add1", "--from-layer", "-1", "--head", "L0H0"],
        "Invalid value for '--from-layer': ",
    ),
    "no rate": (
        [*TRAIN, "--layers", "1", "--lr", "0"],
        "--lr: learning rates 0: give numbers above 0",
    ),
    "a word": (
        [*TRAIN, "--layers", "1", "--lr", "fast"],
        "--lr: learning rates fast: give numbers above 0",
    ),
    "no layers": ([*TRAIN, "--layers", "x"], "--layers: 'x' names no layers; write 9, 3,9"),
    "backwards": ([*TRAIN, "--layers", "9-3"], "--layers: '9-3' names no layers"),
    "no task": (["lora", "--layers", "1"], "give either --prompt or --task"),
    "two cases": (
        [*TRAIN, "--layers", "1", "--cases", "2"],
        "add1 has 2 distinct cases",
    ),
    "no test file": ([*TRAIN, "--layers", "1", "--test", "no.jsonl"], "cannot read task file"),
    "no contrast": ([*PRUNE], "give a head, an adapter, or a layer"),
    "no head": ([*PRUNE, "--head", "L1N1"], "--head: 'L1N1'"),
}
ON_THE_MODEL = {
    "layer": ([*TRAIN, "--layers", "1-7"], "layer 3 is out of range; tiny has layers 0 to 2"),
    "rank": ([*TRAIN, "--layers", "1", "--rank", "99"], "rank 99 is more than the width 32"),
    "too many": ([*PRUNE, "--head", "L0H0"], "--top 500 is more than the 144 neurons of tiny"),
    "from": (
        ["prune", "--task", "add1", "--from-layer", "9", "--head", "L0H0", "--top", "9"],
        "--from-layer 9 is out of range",
    ),
    "no adapter": ([*PRUNE, "--adapter", "nowhere", "--top", "9"], "nowhere is not an adapter"),
}


@pytest.mark.parametrize("name", [*BEFORE_LOADING, *ON_THE_MODEL])
def test_bad_input_is_one_line_and_leaves_nothing(refused, tiny, name):
    arguments, line = (BEFORE_LOADING | ON_THE_MODEL)[name]
    assert refused(*arguments, *tiny).startswith(line)
    assert list_sessions() == []


def test_records_name_folders_as_they_were_typed_and_a_home_by_its_sign(
    on_tiny, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    trained = on_tiny("lora", "--layers", "1", *QUICK, "--out", tmp_path / "kept", "--json")
    assert trained.document["step"]["out"] == "~/kept"
    assert (tmp_path / "kept" / "lora-L1").is_dir()
    adapter = tmp_path / "kept" / "lora-L1"
    case = ["--prompt", "3 + 5 = ", "--top", "3", "--json"]
    compared = on_tiny("cna", *case, "--adapter", adapter).document
    assert compared["step"]["adapter"] == "~/kept/lora-L1"
    monkeypatch.chdir(tmp_path)
    typed = on_tiny("cna", *case, "--adapter", "kept/lora-L1").document
    assert typed["step"]["adapter"] == "kept/lora-L1"
    assert typed["rows"] == compared["rows"]


def test_a_recorded_training_is_shown_without_its_widest_columns(on_tiny, workbench):
    trained = on_tiny("lora", "--layers", "1", *QUICK, "--compare", "1", "--json").document
    shown = workbench("sessions", "show", trained["step"]["session"], "--step", "1")
    assert shown.code == 0
    header = " ".join(shown.out.split())
    assert "name accuracy original accuracy rate epoch" in header
    assert ("increase 50" in header, "increase 30" in header) == (True, False)
    assert all("increase_50" in row for row in trained["rows"])
