"""Sessions written by earlier schemas open, and reading rewrites nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from counting_step import CountingStep, FakeModel, expected_rows
from polars.testing import assert_frame_equal

from analysis.errors import WorkbenchError
from analysis.steps import HeadsStep, ProjectStep
from sessions import Session, list_sessions, migrations, record, root
from sessions.bundle import pack, unpack
from sessions.migrations import MIGRATIONS, SCHEMA

RELEASED = Path(__file__).parents[1] / "support" / "sessions"
"""Holds a session written by each schema that was ever released."""


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("schema", range(1, SCHEMA + 1))
def test_a_session_of_each_released_schema_opens_and_goes_on(schema, tmp_path):
    folder = root() / f"schema-{schema}"
    shutil.copytree(RELEASED / folder.name, folder)
    before = everything(folder)
    assert json.loads((folder / "session.json").read_text())["schema"] == schema

    session = Session.open(folder.name)
    assert session.info.model.name == "smollm2-135m"
    assert session.info.note == "written by the first schema"
    project, heads = session.steps
    assert isinstance(project.step, ProjectStep)
    assert isinstance(heads.step, HeadsStep)
    assert project.info.state == "done"
    assert project.rows().height == project.info.expected == 16
    assert (heads.info.state, heads.info.seconds) == ("stopped", 2.5)
    assert heads.info.note == "stopped early"
    assert heads.rows()["name"].to_list() == ["L13H4", "L13H0", "L0H1", "L14H2", "L12H5", "L11H8"]
    assert heads.rows()["logprob"][0] == pytest.approx(-0.955728, abs=1e-6)
    estimates = heads.estimates()
    assert estimates is not None
    assert estimates.height == 6
    (summary,) = list_sessions()
    assert summary.states == ("done", "stopped")
    (older,) = session.notices
    assert older.startswith("some steps were computed by edition 1 of the method; since then")
    assert everything(folder) == before

    pack(session, tmp_path / "old.zip")
    assert unpack(tmp_path / "old.zip", name="unpacked").step(2).rows().equals(heads.rows())
    session.note("still in use", step=2)
    assert Session.open(folder.name).step(2).info.note == "still in use"
    assert everything(folder)["001-project/step.json"] == before["001-project/step.json"]


@pytest.fixture
def two_schemas_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose third schema keeps seconds as milliseconds did, and calls kinds `what`."""

    def renamed(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "kind": data["kind"].removeprefix("old-")}

    def in_seconds(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "seconds": data["seconds"] / 1000}

    monkeypatch.setattr(migrations, "SCHEMA", 3)
    monkeypatch.setitem(MIGRATIONS, ("step", 1), renamed)
    monkeypatch.setitem(MIGRATIONS, ("step", 2), in_seconds)


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def old(session: Session, model: FakeModel) -> Session:
    """A session of the first schema, with a stopped step of it and one of the second."""
    for count in (10, 8):
        updates = record(session, CountingStep(count=count), model)
        next(updates), next(updates)
        updates.close()
    session.close()
    edited(session.folder / "001-counting/step.json", kind="old-counting", seconds=1500.0)
    edited(session.folder / "002-counting/step.json", schema=2, seconds=2500.0)
    return session


def test_each_document_is_brought_through_every_schema_that_came_after_its_own(old, two_schemas_on):
    before = everything(old.folder)
    session = Session.open("s")
    assert [each.info.seconds for each in session.steps] == [1.5, 2.5]
    assert [each.info.kind for each in session.steps] == ["counting", "counting"]
    assert session.info.schema_version == session.step(1).info.schema_version == 3
    assert list_sessions()[0].kinds == ("counting", "counting")
    assert everything(old.folder) == before


def test_an_old_step_that_goes_on_is_written_in_the_new_schema(old, two_schemas_on, model):
    with Session.open("s", writable=True) as session:
        list(record(session, CountingStep(), model, resume=session.step(1)))
    stored = [json.loads((each.folder / "step.json").read_text()) for each in session.steps]
    assert [each["schema"] for each in stored] == [3, 2]
    assert stored[0]["kind"] == "counting"
    assert 1.5 <= Session.open("s").step(1).info.seconds < 60
    assert_frame_equal(Session.open("s").step(1).rows(), expected_rows(range(10)))


def test_what_a_migration_cannot_read_is_damaged_and_set_aside(old, two_schemas_on):
    edited(old.folder / "001-counting/step.json", kind=7)
    edited(old.folder / "002-counting/step.json", seconds="long")
    session = Session.open("s")
    assert session.steps == []
    assert [notice.split(" (")[0] for notice in session.notices] == [
        "step 001-counting is set aside: it is damaged",
        "step 002-counting is set aside: it is damaged",
    ]
    (old.folder / "session.json").write_text('{"schema": 1, "name": ' + "[" * 100_000)
    with pytest.raises(WorkbenchError, match="cannot open session s: it is damaged"):
        Session.open("s")


def test_a_schema_from_the_future_is_refused_politely(old):
    for version in (SCHEMA + 1, 10**30):
        edited(old.folder / "session.json", schema=version)
        with pytest.raises(WorkbenchError) as caught:
            Session.open("s")
        assert "\n" not in str(caught.value)
    edited(old.folder / "session.json", schema=SCHEMA + 1)
    with pytest.raises(WorkbenchError, match="newer workbench .* update workbench to open it"):
        Session.open("s")
