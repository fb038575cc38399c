"""Sessions of every schema that was released open; one of a newer schema is refused politely."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import WorkbenchError
from analysis.steps import HeadsStep, ProjectStep
from sessions import SCHEMA, Session, list_sessions, root
from sessions.bundle import pack, unpack

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


def edited(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_schema_from_the_future_is_refused_politely(session):
    for version in (SCHEMA + 1, 10**30):
        edited(session.folder / "session.json", schema=version)
        with pytest.raises(WorkbenchError) as caught:
            Session.open("s")
        assert "\n" not in str(caught.value)
    edited(session.folder / "session.json", schema=SCHEMA + 1)
    with pytest.raises(WorkbenchError, match="newer workbench .* update workbench to open it"):
        Session.open("s")
