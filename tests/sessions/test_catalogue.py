"""Finding, naming, listing and removing sessions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from counting_step import CountingStep, FakeModel, model_info
from platformdirs import user_data_dir

import sessions
from analysis.errors import InputError, WorkbenchError
from sessions import Session, list_sessions, record, remove_session, root


def test_sessions_live_in_the_users_data_folder_or_where_the_environment_says(
    monkeypatch, tmp_path
):
    assert root() == tmp_path / "data" / "sessions"
    assert root(tmp_path) == tmp_path
    monkeypatch.setenv("WORKBENCH_DATA", "")
    assert root() == Path(user_data_dir("workbench", appauthor=False)) / "sessions"


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a b", "-flag", "é", "a\n", "x" * 101]
)
def test_a_bad_name_is_refused_in_one_line(model, name):
    for attempt in (
        lambda: Session.create(name, model.info, seed=1),
        lambda: remove_session(name),
    ):
        with pytest.raises(InputError, match="cannot name a session") as caught:
            attempt()
        assert "\n" not in str(caught.value)
    assert not root().exists()


@pytest.mark.parametrize("name", ["a", "A-1", "add1.2", "_x", "0", "x" * 100])
def test_a_good_name_is_kept(model, name):
    Session.create(name, model.info, seed=1).close()
    assert Session.open(name).name == name


def test_without_a_name_sessions_are_counted_up_from_a_hint(model):
    names = []
    for hint in ("add1", "add1", "mul1,div1", "add1", "…"):
        with Session.create(None, model.info, seed=1, hint=hint) as session:
            names.append(session.name)
    assert names == ["add1-1", "add1-2", "mul1-div1-1", "add1-3", "session-1"]


def test_a_taken_name_is_refused_and_what_has_it_left_alone(session, model):
    before = (session.folder / "session.json").read_bytes()
    with pytest.raises(InputError, match="called s exists already"):
        Session.create("s", model.info, seed=2)
    assert (session.folder / "session.json").read_bytes() == before
    assert os.listdir(root()) == ["s"]


def test_a_session_remembers_its_model_seed_and_note(model):
    Session.create("a", model.info, seed=5, note="why").close()
    info = Session.open("a").info
    assert (info.model, info.seed, info.note, info.name) == (model.info, 5, "why", "a")
    assert info.created.utcoffset().total_seconds() == 0


def test_an_unknown_name_brings_the_nearest_ones(model):
    for name in ("add1-1", "gender-1"):
        Session.create(name, model.info, seed=1).close()
    with pytest.raises(InputError) as caught:
        Session.open("ad1-1")
    assert str(caught.value) == (
        "no session called ad1-1; did you mean add1-1? `workbench sessions ls` lists them"
    )
    with pytest.raises(InputError) as caught:
        Session.open("zzz")
    assert str(caught.value) == "no session called zzz; `workbench sessions ls` lists them"


def test_a_session_opens_by_path_from_anywhere(session, model, tmp_path):
    session.close()
    elsewhere = tmp_path / "else [where] *"
    session.folder.rename(elsewhere)
    for path in (elsewhere, str(elsewhere)):
        with Session.open(path, writable=True) as moved:
            list(record(moved, CountingStep(), model))
            assert moved.steps[-1].rows().height == 10
    with pytest.raises(InputError, match="is not the folder of a session"):
        Session.open(tmp_path / "nowhere")


def test_an_example_opens_for_reading_only(session, model, monkeypatch):
    list(record(session, CountingStep(), model))
    session.close()
    monkeypatch.setattr(sessions.paths, "examples_root", lambda: session.folder.parent)
    assert Session.open("example:s", root=Path("nowhere")).step(1).rows().height == 10
    with pytest.raises(InputError, match="is an example"):
        Session.open("example:s", writable=True)
    with pytest.raises(InputError, match="no example called t; did you mean example:s"):
        Session.open("example:t")


def test_a_session_goes_on_only_with_the_model_it_began_with(model):
    with Session.use("a", model.info, seed=1) as first:
        list(record(first, CountingStep(), model))
    with Session.use("a", model_info(name="same", device="cuda", source="copy"), seed=1) as again:
        assert len(again.steps) == 1
    for other, what in [
        (model_info(dtype="bfloat16"), "toy with dtype float32, not toy with bfloat16"),
        (model_info(weights_sha256="c" * 64), "the weights of toy are not those of toy"),
        (model_info(weights_sha256=None, source="makers/bigger"), "makers/toy, not makers/bigger"),
        (model_info(weights="4-bit (b)"), r"toy with float weights, not toy with 4-bit \(b\) ones"),
        (model_info(layers=3), "toy with layers 2, not toy with 3"),
    ]:
        with pytest.raises(InputError, match=f"recorded with another model: {what}"):
            Session.use("a", other, seed=1)
    with Session.use("a", model_info(weights_sha256=None), seed=1):
        pass


def test_the_list_says_what_each_session_holds_latest_first(model):
    with Session.create("old", model.info, seed=1) as old:
        list(record(old, CountingStep(), model))
    with Session.create("new", model_info(name="big"), seed=1, note="look") as new:
        for count in (4, 5):
            updates = record(new, CountingStep(count=count), FakeModel())
            new.info = new.info.model_copy(update={"model": model.info})
            next(updates), next(updates), updates.close()
    os.utime(old.folder / "session.json", (0, 0))
    for path in old.folder.rglob("*"):
        os.utime(path, (0, 0))
    first, second = list_sessions()
    assert (first.name, first.model, first.steps, first.note) == ("new", "big", 2, "look")
    assert first.kinds == ("counting", "counting")
    assert first.states == ("stopped", "stopped")
    assert (second.name, second.states, second.size_bytes) == ("old", ("done",), old.size_bytes)
    assert second.age_seconds > first.age_seconds
    assert second.created == old.info.created


def test_the_list_passes_over_junk(session, tmp_path):
    base = root()
    (base / "empty").mkdir()
    (base / "file").write_text("x")
    (base / ".hidden").mkdir()
    (base / "loop").symlink_to(base / "loop")
    (base / "broken").mkdir()
    (base / "broken" / "session.json").write_text("nonsense")
    (session.folder / "001-junk").mkdir()
    (session.folder / "notes.txt").write_text("x")
    found = {summary.name: summary for summary in list_sessions()}
    assert found.keys() == {"s", "broken"}
    assert found["s"].steps == 0
    assert found["broken"].problem.startswith("it is damaged")
    assert list_sessions(tmp_path / "nowhere") == []


def test_a_session_of_a_thousand_steps_is_listed_and_opened_lazily(session, model):
    list(record(session, CountingStep(), model))
    first = session.step(1).folder
    for number in range(2, 1001):
        other = session.folder / f"{number:03d}-counting"
        other.mkdir()
        for path in first.iterdir():
            os.link(path, other / path.name)
    (summary,) = list_sessions()
    assert summary.steps == 1000
    reader = Session.open("s")
    assert [recorded.index for recorded in reader.steps] == list(range(1, 1001))
    assert reader.step(1000).rows().height == 10
    list(record(session, CountingStep(), model))
    assert reader.steps[-1].id == "1001-counting"


def test_one_step_is_opened_without_a_look_at_the_others(session, model):
    for count in (3, 4, 5):
        list(record(session, CountingStep(count=count), model))
    for name in ("001-counting", "003-counting"):
        (session.folder / name / "step.json").write_text("{")
    reader = Session.open("s")
    for wanted in (2, "2", "002-counting"):
        assert reader.step(wanted).done_rows == 4
    assert reader.notices == []
    with pytest.raises(InputError, match="session s has no step 3; it has 002-counting"):
        reader.step(3)
    assert len(reader.notices) == 2


def test_rows_are_listed_without_reading_them_where_that_can_be(session, model):
    list(record(session, CountingStep(), model))
    updates = record(session, CountingStep(), model)
    next(updates), next(updates), next(updates)
    updates.close()
    assert [each.listed_rows for each in Session.open("s").steps] == [10, 6]
    part = session.step(1).folder / "part-00000.parquet"
    data = bytearray(part.read_bytes())
    data[20] ^= 1
    part.write_bytes(data)
    reader = Session.open("s")
    assert (reader.step(1).listed_rows, reader.notices) == (10, [])
    assert reader.step(1).done_rows == 0
    part.write_bytes(data[:-9])
    assert reader.step(1).listed_rows == 0
    assert "part-00000.parquet is set aside" in reader.notices[-1]


def test_a_removed_session_is_gone_and_its_name_free(session, model, tmp_path):
    list(record(session, CountingStep(), model))
    session.close()
    remove_session("s")
    assert os.listdir(root()) == []
    with pytest.raises(InputError, match="no session called s"):
        remove_session("s")
    Session.create("s", model.info, seed=1).close()


def test_removing_a_link_to_a_session_removes_nothing(session, tmp_path):
    session.close()
    outside = tmp_path / "outside"
    session.folder.rename(outside)
    session.folder.symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        remove_session("s")
    assert (outside / "session.json").exists()


def test_a_data_folder_that_cannot_be_made_is_one_clear_line(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(WorkbenchError, match="cannot write"):
        Session.create("a", model.info, seed=1, root=tmp_path / "file" / "sessions")


def test_opening_a_session_imports_neither_torch_nor_a_terminal(session, model):
    from analysis.steps import NeuronsStep
    from analysis.tasks.prompts import Prompt
    from sessions.documents import StepInfo, now

    step = NeuronsStep(prompt=Prompt(prompt="3 + 5 ="))
    params = step.model_dump(mode="json")
    session.add_step(
        StepInfo(kind="neurons", params=params, state="done", started=now(), expected=0)
    )
    script = """
import sys, sessions
session = sessions.Session.open("s")
print(session.steps[0].step.title, session.steps[0].rows().shape, len(sessions.list_sessions()))
heavy = {"torch", "transformers", "textual", "peft", "workbench", "screens"}
print(sorted(heavy & {name.partition(".")[0] for name in sys.modules}))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.stdout.splitlines() == ['importance · "3 + 5 =" (0, 6) 1', "[]"]
