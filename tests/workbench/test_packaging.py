"""A wheel built from the checkout has all it needs to work elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import workbench

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("analysis", "sessions", "screens", "workbench")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


def tracked_files(room: str) -> set[str]:
    """Every file of a room, read from the disk; caches left aside."""
    return {
        str(each.relative_to(ROOT))
        for each in (ROOT / room).rglob("*")
        if each.is_file() and "__pycache__" not in each.parts
    }


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_of_a_room_is_in_the_wheel(wheel, room):
    """Styles, recorded examples and type markers as much as modules."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert tracked_files(room) - packed == set()
    assert f"{room}/py.typed" in packed


def test_the_wheel_holds_nothing_but_the_rooms(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
        scripts = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "workbench = workbench.cli:main" in archive.read(scripts).decode()
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOMS)
    assert wheel.name.startswith(f"cna_workbench-{workbench.__version__}-")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_pinned_for_the_tested_set():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*", pin) for pin in pins), (
        "exact public releases: no local builds such as +cpu, no addresses"
    )
    pinned = {normal(pin.partition("==")[0]) for pin in pins}
    names = {normal(match[0]) for each in wanted if (match := re.match(r"[A-Za-z0-9._-]+", each))}
    assert names - pinned == set()
