"""Folders that appear whole or not at all."""

from __future__ import annotations

import pytest

from analysis.errors import WorkbenchError
from analysis.folders import written_aside


def test_a_folder_has_its_name_once_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "folder"
    with written_aside(target) as aside:
        (aside / "file").write_text("new")
        assert not target.exists()
    assert (target / "file").read_text() == "new"
    assert [each.name for each in target.parent.iterdir()] == ["folder"]


def test_what_fails_leaves_the_old_one_and_nothing_else(tmp_path):
    target = tmp_path / "folder"
    with written_aside(target) as aside:
        (aside / "file").write_text("old")
    with pytest.raises(RuntimeError), written_aside(target) as aside:
        (aside / "file").write_text("half")
        raise RuntimeError
    assert (target / "file").read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    (tmp_path / ".new-folder").mkdir()
    (tmp_path / ".new-folder" / "half").write_text("half")
    with written_aside(tmp_path / "folder") as aside:
        assert list(aside.iterdir()) == []
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


def test_what_the_system_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorkbenchError, match="cannot write adapter: "),
        written_aside(tmp_path / "file" / "adapter"),
    ):
        pass
