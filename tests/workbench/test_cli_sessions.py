"""Commands about what was recorded, about models and about this machine."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from command_lines import CASE
from replays import own_example
from tiny_folder import HEADS_IN_ALL

from screens.text import number
from sessions import Session, list_sessions
from sessions.parts import part_path, write_frame
from workbench import __version__


@pytest.fixture
def recorded(on_tiny):
    """A session called `mine` with a sweep and a projection."""
    on_tiny("heads", *CASE, "--session", "mine", "--json")
    on_tiny("project", "L0N7", "--top", "3", "--session", "mine", "--json")
    return "mine"


def test_sessions_are_listed_own_ones_first(workbench, recorded):
    listed = workbench("sessions", "ls", "--json").document
    assert [row["name"] for row in listed] == [
        "mine",
        "example:addition",
        "example:ioi",
        "example:paper",
    ]
    mine = listed[0]
    assert list(mine)[:6] == ["name", "model", "steps", "states", "size_kb", "modified"]
    assert (mine["model"], mine["steps"], mine["states"]) == ("tiny", 2, "2 done")
    assert mine["size_bytes"] == Session.open("mine").size_bytes > 0
    assert (mine["written"], mine["writer"], mine["problem"]) == (False, None, None)


def test_where_nothing_is_recorded_the_list_says_what_to_do(workbench):
    outcome = workbench("sessions", "ls", "--json")
    assert outcome.code == 0
    assert [row["name"] for row in outcome.document] == [
        "example:addition",
        "example:ioi",
        "example:paper",
    ]
    assert "workbench demo makes one" in outcome.err


def test_the_example_of_two_prompts_is_small():
    assert Session.open("example:ioi").size_bytes < 2_000_000


def test_a_session_shows_its_model_and_its_steps(workbench, recorded):
    shown = workbench("sessions", "show", recorded, "--json").document
    assert list(shown) == ["session", "steps"]
    assert shown["session"]["model"]["name"] == "tiny"
    assert [each["id"] for each in shown["steps"]] == ["001-heads", "002-project"]
    assert [each["state"] for each in shown["steps"]] == ["done", "done"]
    assert [each["rows"] for each in shown["steps"]] == [HEADS_IN_ALL, 6]
    assert list(shown["steps"][0]) == [
        "id",
        "title",
        "state",
        "rows",
        "expected",
        "seconds",
        "note",
    ]


def test_a_step_shows_the_document_its_command_gave(workbench, on_tiny):
    run = on_tiny("cna", *CASE, "--ablate", "L0H1", "--top", "5", "--json").document
    session = run["step"]["session"]
    for name in ("1", "001-cna"):
        shown = workbench("sessions", "show", session, "--step", name, "--json").document
        assert shown["rows"] == run["rows"]
        assert shown["step"] == run["step"]
        assert shown["model"] == run["model"]
        assert shown["baseline"] == run["baseline"]


def test_a_sweep_shows_the_document_its_command_gave(workbench, on_tiny):
    run = on_tiny("heads", "--task", "add1", "--json").document
    shown = workbench("sessions", "show", run["step"]["session"], "--step", "1", "--json").document
    assert shown == run


def test_sessions_and_steps_are_tables_where_no_json_is_asked_for(workbench, recorded):
    assert "mine" in workbench("sessions", "ls").out
    assert "zeroing one head at a time" in workbench("sessions", "show", recorded).out
    assert "L2H3" in workbench("sessions", "show", recorded, "--step", "1").out


def test_a_step_shows_the_columns_its_command_prints_as_far_as_they_fit(workbench, monkeypatch):
    for width in (60, 80, 120):
        monkeypatch.setenv("COLUMNS", str(width))
        session = Session.open("example:paper")
        step = next(each for each in session.steps if each.step.kind == "evaluate")
        out = workbench("sessions", "show", "example:paper", "--step", step.id).out
        title, header = [line for line in out.splitlines() if line.strip()][:2]
        assert title == step.step.title
        assert max(len(line) for line in out.splitlines()[2:]) <= width
        after = pl.Series(step.step.ranked(step.rows())["after"])
        assert header.split()[:3] == ["name", "before", "after"]
        assert all(number(each, 3) in out for each in after.drop_nulls().to_list()[:3])
        assert ("no room for" in out) == (width < 120)


def test_notes_are_kept_and_shown(workbench, recorded):
    assert workbench("sessions", "note", recorded, "first\nlook \x1b[31m[red]again").code == 0
    assert workbench("sessions", "note", recorded, "--step", "2", "a lead").code == 0
    shown = workbench("sessions", "show", recorded, "--json").document
    assert shown["session"]["note"] == "first\nlook \x1b[31m[red]again"
    assert [each["note"] for each in shown["steps"]] == ["", "a lead"]
    text = workbench("sessions", "show", recorded).out
    assert "  first\n  look \\x1b[31m[red]again\n  002-project  a lead\n" in text
    outcome = workbench("sessions", "note", recorded, "--step", "9", "lost")
    assert (outcome.code, outcome.out) == (2, "")
    assert "has no step 9" in outcome.err


def test_the_example_opens_like_a_session(workbench):
    shown = workbench("sessions", "show", "example:addition", "--json").document
    assert {each["state"] for each in shown["steps"]} == {"done"}
    rows = workbench("sessions", "show", "example:addition", "--step", "1", "--json").document
    assert rows["rows"][0]["name"] == "L20H8"


def test_the_catalogue_is_listed_with_where_its_models_lie(workbench, tmp_path):
    (row,) = workbench("models", "ls", "--json").document
    assert list(row) == ["name", "parameters", "licence", "mb", "fetched", "folder"]
    assert row["name"] == "smollm2-135m"
    assert row["fetched"] is False
    assert row["folder"].startswith(str(tmp_path / "cache"))


def test_doctor_tells_whether_a_model_computes_what_it_should(on_tiny):
    report = on_tiny("doctor", "--json").document
    assert report["Model"]["shape"].startswith("3 layers, 4 heads (2 KV), 48 neurons a layer")
    assert report["Parity (largest errors)"]["verdict"] == "good"
    assert report["Where its parts are"]["attention_out"] == "self_attn.o_proj"
    assert "self_attn.o_proj" in on_tiny("doctor").out


def test_the_demo_does_the_main_job_and_ends_with_how_to_replay_it(on_tiny):
    outcome = on_tiny("demo")
    (summary,) = list_sessions()
    assert summary.kinds == ("heads", "cna", "project", "project", "project")
    assert outcome.out.splitlines()[-1] == f"workbench replay {summary.name}"
    _, compare, *reads = [each.step for each in Session.open(summary.name).steps]
    worst = Session.open(summary.name).step(1).rows().sort("logprob")["name"][0]
    assert str(compare.ablate) == f"{worst} zeroed"
    changed = Session.open(summary.name).step(2).rows().sort("importance_change", descending=True)
    assert [each.source for each in reads] == changed["name"].to_list()[:3]
    for name in (worst, *(each.source for each in reads)):
        assert name in outcome.out


@pytest.fixture
def damaged(recorded, sessions_folder):
    """The session of `recorded` with its sweep cut short."""
    part = sessions_folder / recorded / "001-heads" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:500])
    return recorded


def test_rows_that_were_damaged_are_computed_again_on_resuming(workbench, damaged, tiny):
    outcome = workbench("resume", damaged, *tiny, "--json")
    assert outcome.code == 0, outcome.err
    assert len(outcome.document["rows"]) == HEADS_IN_ALL
    assert "001-heads/part-00000.parquet is set aside" in outcome.err
    assert f"0 of {HEADS_IN_ALL} rows can be read" in outcome.err
    assert [each.state for each in Session.open(damaged).steps] == ["done", "done"]
    assert "has nothing unfinished" in workbench("resume", damaged).err


def test_a_damaged_step_is_told_wherever_it_is_looked_at(workbench, damaged, tmp_path):
    notice = "001-heads/part-00000.parquet is set aside: it is "
    shown = workbench("sessions", "show", damaged, "--json")
    assert [(each["state"], each["rows"]) for each in shown.document["steps"]] == [
        ("damaged", 0),
        ("done", 6),
    ]
    bundle = workbench("sessions", "export", damaged, tmp_path / "all.zip")
    rows = workbench("sessions", "show", damaged, "--step", "1")
    for outcome in (shown, bundle, rows):
        assert (outcome.code, notice in outcome.err) == (0, True), outcome.err
    listed = workbench("sessions", "ls", "--json").document[0]
    assert listed["states"] == "1 damaged 1 done"


def test_rows_that_are_lost_are_not_exported(workbench, damaged, tmp_path):
    outcome = workbench("sessions", "export", damaged, tmp_path / "rows.csv", "--step", "1")
    assert outcome.code == 1
    assert f"001-heads of session mine is damaged, 0 of {HEADS_IN_ALL} rows" in outcome.err
    assert not (tmp_path / "rows.csv").exists()
    assert workbench("sessions", "export", damaged, tmp_path / "x.csv", "--step", "2").code == 0


def test_one_flipped_bit_is_seen_where_the_steps_are_listed(workbench, recorded, sessions_folder):
    part = sessions_folder / recorded / "002-project" / "part-00000.parquet"
    flipped = bytearray(part.read_bytes())
    flipped[60] ^= 1
    part.write_bytes(flipped)
    outcome = workbench("sessions", "show", recorded)
    assert "damaged" in outcome.out
    assert "002-project/part-00000.parquet is set aside" in outcome.err


def test_resuming_says_which_step_cannot_be_read(workbench, recorded, sessions_folder):
    (sessions_folder / recorded / "002-project" / "step.json").write_text("{")
    outcome = workbench("resume", recorded)
    assert outcome.code == 1
    assert "step 002-project is set aside: it is damaged" in outcome.err
    assert "002-project of session mine cannot be read" in outcome.err
    assert "nothing unfinished" not in outcome.err


def test_nothing_unfinished_is_nothing_to_resume(workbench, recorded):
    outcome = workbench("resume", recorded)
    assert outcome.code == 0
    assert outcome.out == ""
    assert outcome.err == "session mine has nothing unfinished\n"


def test_the_version_is_printed(workbench):
    assert workbench("--version").out == f"{__version__}\n"


@pytest.mark.parametrize(
    "command",
    ["", "heads", "neurons", "cna", "project", "replay", "resume", "demo", "doctor", "sessions ls"],
)
def test_every_command_explains_itself(workbench, command):
    outcome = workbench(*command.split(), "--help")
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: workbench")


def test_no_document_names_a_place_on_this_machine(on_tiny, tiny_folder, tmp_path):
    document = on_tiny("heads", *CASE, "--json").document
    text = json.dumps(document)
    assert str(tiny_folder.parent) not in text
    assert str(tmp_path) not in text


def test_a_session_computed_again_says_the_same(on_tiny, recorded):
    outcome = on_tiny("replay", recorded, "--check", "--json")
    assert [row["step"] for row in outcome.document] == ["001-heads", "002-project"]
    for row in outcome.document:
        assert (row["missing"], row["added"], row["agrees"]) == (0, 0, True)
        assert row["difference"] < 1e-5
    assert "computed again" in on_tiny("replay", recorded, "--check").out


def test_numbers_that_do_not_come_again_are_named_and_fail(workbench, recorded, tiny):
    step = Session.open(recorded).step(1)
    rows = step.rows().with_columns(pl.col("prob") + 0.01)
    write_frame(part_path(step.folder, 0), rows)
    outcome = workbench("replay", recorded, "--check", *tiny)
    assert outcome.code == 1
    assert "001-heads of session mine: computed again, the numbers differ" in outcome.err
    assert "002-project of" not in outcome.err


def test_a_check_tells_the_largest_difference_and_what_became_of_the_top_rows(
    workbench, recorded, tiny
):
    step = Session.open(recorded).step(1)
    rows = step.rows()
    best = step.step.ranked(rows)["name"][0]
    fallen = pl.when(name=pl.lit(best)).then(0.25).otherwise("logprob").alias("logprob")
    write_frame(part_path(step.folder, 0), rows.with_columns(fallen))
    check = ["replay", recorded, "--check", *tiny]
    outcome = workbench(*check, "--json")
    first, second = outcome.document
    true = rows.filter(name=pl.lit(best))["logprob"].item()
    assert first["difference"] == pytest.approx(0.25 - true, abs=1e-4)
    assert (first["column"], first["top"]) == ("logprob", 10)
    assert first["moved"] == 10
    assert first["entered"] == [best]
    assert (first["tolerance"], first["agrees"], first["reason"]) == (1e-3, False, None)
    assert (second["agrees"], second["moved"], second["entered"]) == (True, 0, [])
    text = workbench(*check).out
    assert "DRIFT" in text
    assert "10 moved" in text
    assert f"001-heads: new in the top 10: {best}; no longer there: " in text
    assert workbench(*check, "--tolerance", "100").code == 0
    assert workbench(*check, "--tolerance", "nan").code == 2


def test_numbers_of_an_earlier_definition_are_said_to_be_that_and_no_drift(
    workbench, on_tiny, recorded, tiny
):
    """The projection is recorded by the first edition of the method; a sweep means the same."""
    with Session.open(recorded, writable=True) as session:
        second = session.step(2)
        session.amend(second, edition=1, state="stopped")
        rows = second.rows().with_columns(pl.col("logit") + 1)
        write_frame(part_path(second.folder, 0), rows)
    assert "nothing unfinished" in workbench("resume", recorded).err
    with Session.open(recorded, writable=True) as session:
        session.amend(session.step(2), state="done")
    check = ["replay", recorded, "--check", *tiny]
    outcome = workbench(*check, "--json")
    assert outcome.code == 0
    first, second = outcome.document
    assert (first["agrees"], first["definition_changed"]) == (True, False)
    assert (second["agrees"], second["definition_changed"]) == (False, True)
    assert "computed by edition 1 of the method; since then norms that centre" in outcome.err
    assert "definition changed" in workbench(*check).out
    # Asked for again it is computed by the present definition, beside the older record.
    on_tiny("project", "L0N7", "--top", "3", "--session", recorded, "--json")
    session = Session.open(recorded)
    assert [each.info.edition for each in session.steps] == [1, 1, 2]
    assert session.find(session.step(2).step).id == "003-project"


def test_a_check_in_another_dtype_reports_the_drift(workbench, recorded, tiny):
    check = ["replay", recorded, "--check", *tiny, "--json"]
    outcome = workbench(*check, "--dtype", "bfloat16")
    assert outcome.code == 1
    assert [row["agrees"] for row in outcome.document] == [False, False]
    assert all(row["difference"] > row["tolerance"] == 1e-3 for row in outcome.document)
    assert "recorded with dtype float32, now bfloat16" in outcome.err


@pytest.mark.real_model
@pytest.mark.parametrize(("dtype", "code"), [("float32", 0), ("bfloat16", 1)])
def test_the_example_says_the_same_on_the_real_model_and_drifts_in_half_precision(
    workbench, sessions_folder, dtype, code
):
    shutil.rmtree(own_example() / "001-heads")  # takes minutes
    check = ["replay", "mine", "--check", "--json", "--device", "cpu", "--dtype", dtype]
    outcome = workbench(*check)
    assert outcome.code == code
    assert outcome.document[0]["step"] == "002-cna"
    assert {row["agrees"] for row in outcome.document} == {code == 0}


def test_what_a_check_cannot_compare_it_says(workbench, on_tiny, recorded, tiny):
    with Session.open(recorded, writable=True) as session:
        session.amend(session.step(1), state="stopped")
    outcome = on_tiny("replay", recorded, "--check", "--json")
    first, second = outcome.document
    assert (first["agrees"], first["difference"], second["agrees"]) == (None, None, True)
    assert first["reason"] == "stopped, so there is no whole to compare"
    assert "001-heads is not compared: stopped" in outcome.err
    with Session.open(recorded, writable=True) as session:
        record = session.step(2).info
        session.amend(session.step(2), params={**record.params, "source": "L0N9999"})
    check = ["replay", recorded, "--check", *tiny]
    outcome = workbench(*check)
    assert outcome.code == 1
    assert "002-project is not compared: " in outcome.err
    assert "002-project of session mine could not be compared" in outcome.err


def test_two_sessions_are_compared_step_by_step(workbench, on_tiny, recorded):
    on_tiny("heads", *CASE, "--session", "other", "--json")
    on_tiny("project", "L0N8", "--top", "3", "--session", "other", "--json")
    found = workbench("sessions", "diff", recorded, "other", "--json").document
    assert (found["first"], found["second"], found["same"]) == ("mine", "other", False)
    assert found["model"] == {}
    (step,) = found["steps"]
    assert (step["first"], step["second"], step["same"]) == ("001-heads", "001-heads", True)
    assert (step["rows"], step["missing"], step["added"]) == (HEADS_IN_ALL, 0, 0)
    assert [each["id"] for each in found["only_first"]] == ["002-project"]
    assert [each["title"] for each in found["only_second"]] == ["L0N8"]
    text = workbench("sessions", "diff", recorded, "other").out
    assert "only in mine: 002-project" in text
    assert "as it was" in text


def test_damaged_rows_are_not_compared(workbench, recorded, sessions_folder):
    shutil.copytree(sessions_folder / recorded, sessions_folder / "dmg")
    part = sessions_folder / "dmg" / "001-heads" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:500])
    outcome = workbench("sessions", "diff", "dmg", recorded)
    why = f"001-heads of dmg is damaged, 0 of {HEADS_IN_ALL} rows can be read"
    assert f"not compared: {why}" in outcome.out
    first, second = workbench("sessions", "diff", "dmg", recorded, "--json").document["steps"]
    assert (first["reason"], first["difference"], first["same"]) == (why, None, False)
    assert (second["reason"], second["difference"], second["same"]) == (None, 0, True)


def test_a_session_beside_itself_has_no_difference(workbench):
    name = "example:addition"
    outcome = workbench("sessions", "diff", name, name)
    assert outcome.out == f"{name} and {name}: no difference in 5 steps\n"
    assert workbench("sessions", "diff", name, name, "--json").document["same"] is True
    assert workbench("sessions", "diff", "nowhere", name).code == 2


def test_a_replay_that_is_not_a_check_takes_no_model(workbench, recorded):
    outcome = workbench("replay", recorded, "--model", "smollm2-135m")
    assert outcome.code == 2
    assert "--model and the like go with --check" in outcome.err
