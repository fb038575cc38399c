"""What a step produces beside its rows: told where, counted, never read."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
from counting_step import CountingStep, FakeModel, expected_rows

from analysis.step import Work
from sessions import Session, list_sessions, record


class Producing:
    """Work that writes a file a batch once it knows where to."""

    def __init__(self, work: Work) -> None:
        self.folder: Path | None = None
        self.work = replace(work, frames=self.frames, place=self.place)
        self._frames = work.frames

    def place(self, folder: Path) -> None:
        self.folder = folder

    def frames(self, done: Collection[str]) -> Iterator[pl.DataFrame]:
        for frame in self._frames(done):
            if self.folder is not None:
                self.folder.mkdir(exist_ok=True)
                (self.folder / frame["name"][0]).write_bytes(b"x" * 1_000)
            yield frame


def produced(session: Session, model: FakeModel) -> Producing:
    step = CountingStep()
    producing = Producing(step.bound(model))
    list(record(session, step, model, work=producing.work))
    return producing


def test_files_lie_in_the_steps_folder_and_count(session, model):
    produced(session, model)
    recorded = Session.open("s").step(1)
    assert recorded.files == recorded.folder / "files"
    assert sorted(each.name for each in recorded.files.iterdir()) == ["n0", "n3", "n6", "n9"]
    assert recorded.size_bytes > 4_000
    assert list_sessions()[0].size_bytes > 4_000
    assert recorded.rows().equals(expected_rows(range(10)))


def test_a_step_without_files_has_none_and_neither_has_one_run_to_compare(session, model):
    list(record(session, CountingStep(), model))
    assert Session.open("s").step(1).files is None
    producing = Producing(CountingStep().bound(model))
    list(producing.work.frames(()))
    assert producing.folder is None


def test_whatever_lies_there_harms_no_reader(session, model, tmp_path):
    folder = produced(session, model).folder
    assert folder is not None
    (folder / "part-00000.parquet").write_bytes(b"not rows")
    (folder / "step.json").write_text("{")
    os.mkfifo(folder / "pipe")
    (folder / "away").symlink_to(tmp_path)
    recorded = Session.open("s").step(1)
    assert recorded.rows().equals(expected_rows(range(10)))
    assert Session.open("s").notices == []


def test_a_link_in_the_place_of_the_folder_is_not_followed(session, model, tmp_path):
    list(record(session, CountingStep(), model))
    recorded = Session.open("s").step(1)
    (recorded.folder / "files").symlink_to(tmp_path)
    assert recorded.files is None
