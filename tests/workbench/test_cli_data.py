"""`workbench data`: the files it writes are those that `--task` reads."""

from __future__ import annotations

import json

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from analysis.tasks.task_files import read_task_file

COLUMNS = ["prompt", "answer", "group", "marks"]
ARITHMETIC_COLUMNS = [*COLUMNS, "operation", "digits", "style", "form", "a", "b"]
ENDINGS = pytest.mark.parametrize("ending", ["jsonl", "parquet"])


def rows_of(path):
    """The rows of a written file."""
    if path.suffix == ".parquet":
        return pl.read_parquet(path).to_dicts()
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def check_read_back(file):
    """What `--task` reads of a file is what stands in its rows."""
    read = [each.model_dump(mode="json") for each in read_task_file(file).prompts]
    assert read == [{name: row[name] for name in COLUMNS} for row in rows_of(file)]


def written(outcome):
    """The one line that says what was written."""
    assert outcome.code == 0, outcome.err
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    return line


@ENDINGS
def test_the_evaluation_set_reads_back_as_it_is(workbench, tmp_path, ending):
    file = tmp_path / f"sums.{ending}"
    line = written(workbench("data", "arithmetic", file, "--shots", "2", "--seed", "3"))
    assert line == f"written: {file}, 1,600 eval cases of 2-digit arithmetic, seed 3"
    check_read_back(file)
    rows = rows_of(file)
    assert {tuple(row) for row in rows} == {tuple(ARITHMETIC_COLUMNS)}
    row = rows[0]
    assert len(row["prompt"].splitlines()) == 3
    assert row["prompt"].endswith(f"\n{row['a']} + {row['b']} = ")
    assert (row["operation"], row["style"], row["form"]) == ("add", "bare", "numerals")
    assert list(tmp_path.iterdir()) == [file]


@ENDINGS
def test_gender_reads_back_as_it_is(workbench, tmp_path, ending):
    file = tmp_path / f"g.{ending}"
    assert "512 cases of professions" in written(workbench("data", "gender", file))
    check_read_back(file)
    rows = rows_of(file)
    assert rows[0]["prompt"] == "A woman works as a"
    assert {tuple(row) for row in rows} == {(*COLUMNS, "profession", "bias", "template")}
    assert all(row["answer"] == f" {row['profession']}" for row in rows)


def test_both_formats_hold_the_same_rows(workbench, tmp_path):
    files = [tmp_path / "a.jsonl", tmp_path / "a.parquet"]
    for file in files:
        written(workbench("data", "arithmetic", file, "--cases", "64", "--digits", "3"))
    lines, parquet = (pl.DataFrame(rows_of(file)) for file in files)
    assert_frame_equal(lines, parquet)


def test_the_splits_for_fine_tuning_are_disjoint_whatever_number_is_taken(workbench, tmp_path):
    train, test = tmp_path / "train.jsonl", tmp_path / "test.parquet"
    assert "18,000 train cases" in written(
        workbench("data", "arithmetic", train, "--split", "train")
    )
    written(workbench("data", "arithmetic", test, "--split", "test", "--cases", "300"))
    assert [len(read_task_file(file)) for file in (train, test)] == [18_000, 300]
    whole = tmp_path / "whole.jsonl"
    written(workbench("data", "arithmetic", whole, "--split", "test"))
    assert rows_of(whole)[:300] == rows_of(test)
    equations = [
        {(row["operation"], row["a"], row["b"]) for row in rows_of(file)} for file in (train, test)
    ]
    assert not equations[0] & equations[1]


def test_a_set_smaller_than_asked_for_is_said(workbench, tmp_path):
    line = written(workbench("data", "arithmetic", tmp_path / "a.jsonl", "--digits", "1"))
    assert "944 eval cases of 1-digit arithmetic (of 1,600: there are no more)" in line


@ENDINGS
def test_a_written_file_is_a_task(on_tiny, workbench, tmp_path, ending):
    file = tmp_path / f"sums.{ending}"
    written(workbench("data", "arithmetic", file, "--cases", "32", "--digits", "1"))
    sweep = ["heads", "--task", file, "--heads", "L0H0", "--json"]
    prompts = on_tiny(*sweep, "--ops", "+,/", "--cases", "5").document["step"]["prompts"]
    assert prompts["name"] == "sums"
    assert len(prompts["prompts"]) == 5
    assert {each["group"] for each in prompts["prompts"]} <= {"+", "/"}
    assert all(each["marks"] for each in prompts["prompts"])


def test_a_file_that_is_there_is_replaced_only_by_force(workbench, refused, tmp_path):
    file = tmp_path / "g.jsonl"
    file.write_text("mine")
    line = refused("data", "gender", file)
    assert line == "g.jsonl is there already; --force replaces it"
    assert file.read_text() == "mine"
    written(workbench("data", "gender", file, "--force"))
    assert len(read_task_file(file)) == 512


def test_a_file_that_cannot_be_written_leaves_the_old_one(workbench, tmp_path, monkeypatch):
    file = tmp_path / "g.jsonl"
    file.write_text("mine")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("analysis.folders.os.fsync", full)
    outcome = workbench("data", "gender", file, "--force")
    assert outcome.code == 1
    assert outcome.err == "workbench: cannot write g.jsonl: No space left on device\n"
    assert [each.read_text() for each in tmp_path.iterdir()] == ["mine"]


def test_tasks_with_a_second_prompt_are_listed_shown_and_written(workbench, tiny, tmp_path):
    listed = json.loads(workbench("data", "list", "--json").out)
    assert {"add1", "gender", "ioi", "facts"} < {row["task"] for row in listed}
    shown = workbench("data", "show", "successor", "--cases", "2").out
    assert "successor · 100 prompts" in shown
    # A token of this model is a character, so most answers do not fit.
    file = tmp_path / "spans.jsonl"
    line = workbench("data", "greater-than", file, "--cases", "40", *tiny).err
    left, kept = len(rows_of(file)), read_task_file(file).prompts
    assert f"{left} cases of greater-than, {40 - left} left out that do not fit" in line
    assert {each.group for each in kept} == {"decade"}
    assert all(each.corrupt and each.wrongs for each in kept)


BAD = {
    "ending": (["gender", "g.csv"], "g.csv: end it in .jsonl or .parquet"),
    "no ending": (["arithmetic", "sums"], "sums: end it in .jsonl or .parquet"),
    "no folder": (["gender", "no/g.jsonl"], "there is no folder no"),
    "a folder": (["gender", "d.jsonl", "--force"], "d.jsonl is a folder"),
    "digits": (["arithmetic", "a.jsonl", "--digits", "4"], "--digits 4: choose 1, 2 or 3"),
    "digits to tune": (
        ["arithmetic", "a.jsonl", "--digits", "0", "--split", "train"],
        "--digits 0: choose 1, 2 or 3",
    ),
    "cases": (["arithmetic", "a.jsonl", "--cases", "0"], "--cases"),
    "shots": (["arithmetic", "a.jsonl", "--shots", "9"], "--shots 9 is out of range"),
    "split": (["arithmetic", "a.jsonl", "--split", "dev"], "--split dev: choose eval, train or"),
    "shots to tune": (
        ["arithmetic", "a.jsonl", "--split", "test", "--shots", "1"],
        "--shots goes with --split eval",
    ),
    "more to test on than there are": (
        ["arithmetic", "a.jsonl", "--split", "test", "--cases", "2001"],
        "--cases 2001: --split test has 2,000",
    ),
    "too few to tune on": (
        ["arithmetic", "a.jsonl", "--split", "train", "--digits", "1"],
        "there are 616 distinct cases",
    ),
    "seed": (["arithmetic", "a.jsonl", "--seed", "-1"], "--seed"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_what_cannot_be_written_is_refused(refused, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.jsonl").mkdir()
    assert reason in refused("data", *arguments)
    assert [each.name for each in tmp_path.iterdir()] == ["d.jsonl"]
