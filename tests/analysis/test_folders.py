"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from analysis.errors import WorkbenchError
from analysis.folders import NameTaken, file_aside, named_aside, write_durably, written_aside

STUCK = """
import sys, time
from pathlib import Path
from analysis.folders import written_aside
with written_aside(Path(sys.argv[1])) as aside:
    (aside / "half").write_text("half")
    print("half", flush=True)
    time.sleep(60)
"""


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
    program = [sys.executable, "-c", STUCK, str(tmp_path / "folder")]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"half\n"
        with written_aside(tmp_path / "folder") as aside:
            assert list(aside.iterdir()) == []
        assert len(list(tmp_path.iterdir())) == 2, "a living process keeps what it writes"
        process.kill()
    with written_aside(tmp_path / "folder"):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_is_not_to_be_replaced_stays(tmp_path, there):
    target = tmp_path / "target"
    held = target if there == "file" else target / "file"
    with pytest.raises(NameTaken), written_aside(target, replace=False) as aside:
        held.parent.mkdir(exist_ok=True)
        held.write_text("came meanwhile")
        (aside / "file").write_text("new")
    assert held.read_text() == "came meanwhile"
    assert [each.name for each in tmp_path.iterdir()] == ["target"]


def test_a_file_is_the_new_one_or_the_old_one(tmp_path):
    target = tmp_path / "file"
    write_durably(target, b"old")
    with pytest.raises(RuntimeError), file_aside(target) as aside:
        aside.write_bytes(b"half")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    (tmp_path / ".new-file").symlink_to(target)
    write_durably(target, b"new")
    assert target.read_bytes() == b"new"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_the_system_refuses_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(WorkbenchError, match="cannot write adapter: "),
        written_aside(tmp_path / "file" / "adapter"),
    ):
        pass


def test_a_file_that_somebody_names_is_written_where_its_link_leads(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "file")
    for text in ("new", "newer"):
        with named_aside(tmp_path / "link") as aside:
            aside.write_text(text)
        assert (tmp_path / "deep" / "file").read_text() == text
    assert (tmp_path / "link").is_symlink()


def test_what_cannot_be_replaced_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with named_aside(pipe) as aside:
        aside.write_text("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()
