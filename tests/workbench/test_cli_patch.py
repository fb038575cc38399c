"""Patches and replaced parts from the command line: recorded, gone on with, checked, exported."""

from __future__ import annotations

import pytest
from polars.testing import assert_frame_equal

from analysis.steps import PatchStep
from analysis.tasks.prompts import Prompt, PromptSet
from sessions import Session, ensure
from sessions.recorder import Rows

PAIR = ("--prompt", "one and 3 is", "--corrupt", "two and 4 is", "--answer", "1", "--wrong", "9")
CASE = Prompt(prompt="one and 3 is", corrupt="two and 4 is", answer="1", wrong="9")
STEP = PatchStep(prompts=PromptSet(name="prompt", prompts=(CASE,)))


def recorded(session, model, updates: int | None = None):
    """Have the patches in a session; closed after so many batches of rows, if it says."""
    going, batches = ensure(session, STEP, model), []
    for update in going:
        if isinstance(update, Rows):
            batches.append(update.frame)
            if len(batches) == updates:
                going.close()
                break
    return batches


def test_a_patch_that_was_stopped_goes_on_with_no_row_lost_or_computed_twice(
    tiny_model, sessions_folder, monkeypatch
):
    monkeypatch.setattr("analysis.methods.patching.batch_rows", lambda model, tokens: 1)
    with Session.create("mine", tiny_model.info, seed=0) as session:
        (first,) = recorded(session, tiny_model, updates=1)
        (stopped,) = session.steps
        assert (stopped.state, stopped.done_rows) == ("stopped", first.height)
        rest = recorded(session, tiny_model)
        (done,) = session.steps
        rows = done.rows()
        assert done.state == "done"
        assert rows.height == done.info.expected == rows["name"].n_unique()
        assert sum(each.height for each in rest) == rows.height - first.height
        assert_frame_equal(rows.head(first.height), first)


def test_a_recorded_patch_is_checked_compared_and_exported(on_tiny, workbench, tiny, tmp_path):
    for name in ("mine", "other"):
        on_tiny("patch", *PAIR, "--unit", "head", "--session", name)
    (checked,) = workbench("replay", "mine", "--check", *tiny, "--json").document
    assert checked["agrees"] is True
    difference = workbench("sessions", "diff", "mine", "other", "--json").document
    assert (difference["same"], difference["only_second"]) == (True, [])
    assert workbench("sessions", "export", "mine", tmp_path / "report").code == 0
    assert "patching heads" in (tmp_path / "report" / "report.md").read_text("utf-8")
    out = tmp_path / "rows"
    assert workbench("sessions", "export", "mine", out, "--format", "csv").code == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--positions", "0,99"), "position 99 is beyond a prompt of "),
        (("--wrong", "1"), "'1' is given as the answer and as wrong"),
        (("--corrupt", "one and 3 is", "--wrong", "8"), "the corrupt prompt is the prompt itself"),
        (("--positions", "some"), "--positions: some: give each, all, or positions"),
        (("--metric", "loss"), "--metric loss: choose"),
    ],
)
def test_what_makes_no_patch_is_one_line(workbench, tiny, options, reason):
    outcome = workbench("patch", *PAIR, *options, *tiny)
    assert (outcome.code, outcome.out) == (2, "")
    assert reason in outcome.err.splitlines()[-1]


def test_prompts_of_unequal_length_stand_under_each_other(workbench, tiny):
    outcome = workbench("patch", *PAIR, "--corrupt", "two and 4", *tiny)
    assert outcome.code == 2
    *_, line, first, _, mark = outcome.err.splitlines()
    assert "the prompt has " in line
    assert len(mark.rstrip()) <= len(first)


def test_parts_are_replaced_by_the_corrupt_run_at_a_position(on_tiny):
    asked = ("ablate", "L1H2,L0N3", *PAIR, "--mode", "resample", "--positions", "1,-1")
    document = on_tiny(*asked, "--json").document
    assert document["baseline"]["resampled_from"] == "the corrupt prompt of each case"
    assert document["step"]["positions"] == [1, -1]
    first, last = document["rows"]
    assert (last["name"], first["position"] > 1) == ("L1H2,L0N3@1", True)
    assert "None" not in on_tiny(*asked).out


def test_a_sweep_of_cases_with_wrong_answers_goes_by_the_logit_difference(on_tiny):
    plain = on_tiny("heads", *PAIR, "--json").document
    assert plain["baseline"]["metric"] == "logit_difference"
    assert "metric" not in plain["step"]
    chosen = on_tiny("heads", *PAIR, "--metric", "prob", "--json").document
    probs = [row["prob"] for row in chosen["rows"]]
    assert (chosen["baseline"]["metric"], probs) == ("prob", sorted(probs))
