"""`evaluate` and `edit` from the command line: measured, recorded, exported, refused."""

from __future__ import annotations

import json

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM

from analysis.changes import Changes
from sessions import Session
from sessions.provenance import PROVENANCE, Provenance, read_changes

TASK = ["--task", "add1", "--cases", "6"]
TEXT = "The harbour woke slowly. Before the first ferry left, a woman lit the ovens. " * 4


@pytest.fixture
def text(tmp_path):
    (tmp_path / "short.txt").write_text(TEXT)
    return ["--text", tmp_path / "short.txt"]


def test_evaluate_says_before_after_control_and_intervals(on_tiny, text):
    others = ["--against-tasks", "sub1,mul1"]
    document = on_tiny("evaluate", *TASK, *others, *text, "--change", "L1H2", "--json").document
    rows = {row["name"]: row for row in document["rows"]}
    assert list(rows) == [
        "accuracy",
        "logprob",
        "logit difference",
        "loss",
        "perplexity",
        "accuracy sub1",
        "accuracy mul1",
    ]
    assert rows["logprob"]["cases"] == 6
    assert rows["logprob"]["before_low"] <= rows["logprob"]["before"]
    assert document["step"]["edit"] == [{"heads": ["L1H2"], "neurons": [], "factor": 0.0}]
    assert "changes" not in document["step"]
    assert "case_before" not in rows["logprob"]
    live = on_tiny("ablate", "L1H2", *TASK, "--json").document
    assert rows["logprob"]["before"] == pytest.approx(live["baseline"]["logprob"], abs=1e-5)
    assert rows["logprob"]["after"] == pytest.approx(live["rows"][0]["logprob"], abs=1e-5)


def test_evaluate_measures_the_gap_of_cases_that_come_in_pairs(on_tiny, text, tmp_path):
    cases = [
        {"prompt": f"A {who} is a", "answer": f" {job}", "group": who}
        for job in ("nurse", "cook")
        for who in ("woman", "man")
    ]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, cases)))
    command = ["evaluate", "--task", tmp_path / "mine.jsonl", *text, "--change", "L0N1"]
    rows = {row["name"]: row for row in on_tiny(*command, "--json").document["rows"]}
    assert rows["gap"]["cases"] == 2
    prompts = [["--prompt", each["prompt"], "--answer", each["answer"]] for each in cases]
    logprobs = [
        on_tiny("ablate", "L0N1", *each, "--json").document["rows"][0]["logprob"]
        for each in prompts
    ]
    # A nurse is expected of a woman; of a cook nothing is known, so the first group comes first.
    gaps = [logprobs[0] - logprobs[1], logprobs[2] - logprobs[3]]
    assert rows["gap"]["after"] == pytest.approx(sum(gaps) / 2, abs=1e-4)


def test_an_edit_is_measured_and_exported_with_what_was_measured(
    on_tiny, tiny_model, text, tmp_path
):
    command = ["edit", "--ablate", "L1H2,L0N5", "--factor", "0.5", *TASK, *text]
    document = on_tiny(*command, "--export", tmp_path / "out", "--json").document
    record = Provenance.read(tmp_path / "out" / PROVENANCE)
    assert record.changes == ("L1H2,L0N5=0.5",)
    assert list(record.measured) == document["rows"]
    assert record.session == document["step"]["session"]
    hf = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    ids = torch.tensor([[0, 5, 9]])
    with torch.no_grad(), tiny_model.changed(Changes.parse(record.changes).interventions):
        assert torch.equal(hf(ids).logits, tiny_model.hf(ids).logits)


def test_neurons_found_on_pairs_are_edited(on_tiny, workbench, tiny_folder, text, tmp_path):
    command = ["edit", "--prompt", "A woman is a", "--against", "A man is a"]
    command += ["--words", "nurse,cook", "--top", "4", *text, "--export", tmp_path / "out"]
    document = on_tiny(*command, "--format", "mask", "--json").document
    session = Session.open(document["step"]["session"])
    pairs, evaluation = session.steps
    top = pairs.step.ranked(pairs.rows())["name"].head(4).to_list()
    assert [str(each) for each in evaluation.step.edit[0].neurons] == top
    assert evaluation.step.pairs == pairs.step.pairs
    gap = evaluation.rows().filter(pl.col("name") == "gap")
    assert gap["after"][0] != pytest.approx(gap["before"][0], abs=1e-4)
    assert [str(each) for each in read_changes(tmp_path / "out").neurons] == top
    again = workbench("replay", session.name, "--check", "--model", tiny_folder, "--json")
    assert again.code == 0, again.err


def test_words_are_read_from_a_file(on_tiny, text, tmp_path):
    (tmp_path / "words.txt").write_text("nurse\n\ncook\n")
    command = ["edit", "--prompt", "A woman is a", "--against", "A man is a", *text, "--json"]
    read = on_tiny(*command, "--words", tmp_path / "words.txt", "--top", "2").document
    given = on_tiny(*command, "--words", "nurse,cook", "--top", "2").document
    assert read["rows"] == given["rows"]


def test_an_edit_goes_on_where_its_session_stopped(on_tiny, text):
    command = ["edit", "--prompt", "A woman is a", "--against", "A man is a", *text]
    command += ["--words", "nurse", "--top", "2", "--session", "mine"]
    on_tiny(*command)
    out = on_tiny(*command).out
    assert "CNA over 1 pair ·" in out
    assert len(Session.open("mine").steps) == 2


def test_bad_input_is_one_line_before_anything_is_loaded(refused, tmp_path, monkeypatch):
    assert "nothing is changed; name heads" in refused("evaluate", *TASK)
    assert "nothing is changed; name heads" in refused("edit", *TASK)
    assert "factor of nan" in refused("edit", "--ablate", "L0H0", "--factor", "nan")
    assert "names neither" in refused("edit", "--ablate", "L0")
    assert "pairs 'race': give gender, or the path of a file" in refused("edit", "--pairs", "race")
    assert "go together" in refused("edit", "--prompt", "a", "--against", "b")
    line = refused("edit", "--prompt", "a", "--against", "a", "--words", "x")
    assert "both prompts are the same" in line
    words = ["edit", "--prompt", "a", "--against", "b", "--words"]
    assert "no words" in refused(*words, " , ")
    assert "cannot read the words of none.txt" in refused(*words, "none.txt")
    assert "give either --pairs or" in refused("edit", "--pairs", "gender", "--prompt", "a")
    for option, value in (("--cases", "2"), ("--shots", "1"), ("--ops", "+")):
        line = refused("edit", "--pairs", "gender", option, value)
        assert line.startswith(f"{option} goes with --task")
    assert "cannot read text none.txt" in refused(
        "evaluate", "--change", "L0H0", "--text", "none.txt"
    )
    assert "unknown task add9" in refused(
        "evaluate", "--change", "L0H0", "--against-tasks", "add9"
    ).replace("'", "")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    edit = ["edit", "--ablate", "L0H0", "--export"]
    assert "full is not empty" in refused(*edit, tmp_path / "full")
    assert "cannot hold an edit" in refused(*edit, tmp_path / "out", "--format", "adapter")
    monkeypatch.setenv("WORKBENCH_READONLY", "1")
    assert "read-only" in refused(*edit, tmp_path / "out")


def test_parts_the_model_lacks_leave_no_session_and_no_folder(
    workbench, tiny_folder, sessions_folder, tmp_path
):
    out = tmp_path / "out"
    outcome = workbench("edit", "--ablate", "L9H0", "--export", out, "--model", tiny_folder)
    assert outcome.code == 2
    assert "L9H0 is not in tiny" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not out.exists()
    assert list(sessions_folder.glob("*")) == []


def test_tokens_are_words_in_the_table(on_tiny, text):
    command = ["edit", "--prompt", "A woman is a", "--against", "A man is a"]
    out = on_tiny(*command, "--words", "nurse", "--top", "2", *text).out
    assert "Series" not in out
    assert len(out.splitlines()) < 30
