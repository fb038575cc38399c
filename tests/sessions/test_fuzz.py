"""Hundreds of ways to damage a session or a bundle, drawn by seed: at worst there is a clear line.

Nothing outside the folder of sessions is touched, no wrong number is read, and steps that were left
alone open as before.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from counting_step import CountingStep, FakeModel, expected_rows
from polars.testing import assert_frame_equal

from analysis.errors import WorkbenchError
from sessions import Rows, Session, list_sessions, read_view, record, write_view
from sessions.bundle import pack, unpack
from sessions.compare import diff

ROUNDS, MUTATIONS = 110, 3
BUNDLES = 300
STEPS = 5

WRONG: list[Any] = [
    *(None, True, -1, 0, 2**63, 10**400, -(10**400), 1e308, float("nan"), float("inf")),
    *("", "x" * 5000, "\x00", "🙂", "../..", "9999-99-99", "0001-01-01T00:00:00Z"),
    *([], {}, [[]], {"": {}}, [1] * 1000),
]


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sessions with one in it, whose steps are of all kinds."""
    from analysis.step import REGISTRY

    base = tmp_path_factory.mktemp("pristine")
    REGISTRY["counting"] = CountingStep
    try:
        model = FakeModel()
        with Session.create("s", model.info, seed=1, root=base) as session:
            for number in range(STEPS):
                step = CountingStep(count=4 + number, batch=2, estimated=number == 0)
                for update in record(session, step, model):
                    if number % 2 and isinstance(update, Rows) and update.done == 4:
                        break
            files = session.step(1).folder / "files"
            files.mkdir()
            (files / "adapter.safetensors").write_bytes(b"weights")
            session.note("mine", step=2)
            write_view(session, "003-counting", {"cursor": "n1"})
    finally:
        del REGISTRY["counting"]
    return base


class Damage:
    """Damages files of the session in `folder`; `outside` is what a link leads to."""

    def __init__(self, folder: Path, outside: Path, chance: random.Random) -> None:
        self.folder, self.outside, self.chance = folder, outside, chance
        self.touched: set[str] = set()
        """First parts of the places of what was damaged: steps, or the session's own files."""

    def once(self) -> str:
        """One mutation; returns its name."""
        ways: list[Callable[[Path], None]] = [
            *(self.flip, self.cut, self.insert, self.swap, self.retype, self.retype, self.link),
            *(self.rename, self.drop, self.fold, self.cover, self.overwrite),
        ]
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        path, way = self.chance.choice(files), self.chance.choice(ways)
        if self.chance.random() < 0.3:
            path = self.chance.choice([each for each in files if each.suffix == ".json"] or files)
        self.touch(path)
        way(path)
        return way.__name__

    def touch(self, path: Path) -> None:
        self.touched.add(path.relative_to(self.folder).parts[0])

    def flip(self, path: Path) -> None:
        data = bytearray(path.read_bytes())
        for _ in range(self.chance.choice((1, 1, 8))):
            if data:
                data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
        path.write_bytes(data)

    def cut(self, path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[: self.chance.randrange(len(data) + 1)])

    def insert(self, path: Path) -> None:
        data = path.read_bytes()
        place = self.chance.randrange(len(data) + 1)
        path.write_bytes(data[:place] + self.chance.randbytes(9) + data[place:])

    def overwrite(self, path: Path) -> None:
        path.write_bytes(self.chance.choice((b"", b"{}", b"[]", b"null", b"PAR1", b"[" * 9000)))

    def swap(self, path: Path) -> None:
        other = self.chance.choice([each for each in self.folder.rglob("*") if each.is_file()])
        self.touch(other)
        mine, yours = path.read_bytes(), other.read_bytes()
        path.write_bytes(yours)
        other.write_bytes(mine)

    def retype(self, path: Path) -> None:
        """Another type, or a huge number, somewhere in a JSON document."""
        try:
            document = json.loads(path.read_bytes())
        except ValueError:
            return self.flip(path)
        places = [(document, key) for key in _keys(document)]
        for inside, key in places:
            places += [(inside[key], each) for each in _keys(inside[key])]
        if places:
            inside, key = self.chance.choice(places)
            inside[key] = self.chance.choice(WRONG)
        path.write_text(json.dumps(document))
        return None

    def link(self, path: Path) -> None:
        path.unlink()
        path.symlink_to(self.chance.choice((self.outside, self.outside.parent, path, "nowhere")))

    def rename(self, path: Path) -> None:
        names = ("step.json", "part-00007.parquet", "part-99999.parquet", "session.json", ".lock")
        target = path.with_name(self.chance.choice((*names, "writer.json", "x", "a\nb")))
        if not target.is_dir():
            path.replace(target)

    def drop(self, path: Path) -> None:
        path.unlink()

    def fold(self, path: Path) -> None:
        """A folder in the place of the file."""
        path.unlink()
        path.mkdir()

    def cover(self, path: Path) -> None:
        """The whole folder of the file becomes something else."""
        if path.parent == self.folder:
            return
        folder = path.parent
        shutil.rmtree(folder)
        if self.chance.random() < 0.5:
            folder.symlink_to(self.outside.parent)
        else:
            folder.write_bytes(b"not a folder")


def _keys(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(min(len(value), 5))) if isinstance(value, list) else []


def snapshot(folder: Path, without: Path) -> dict[str, Any]:
    """What is under `folder` but not under `without`, with contents and times."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path != without and without not in path.parents:
            status = path.lstat()
            data = path.read_bytes() if stat.S_ISREG(status.st_mode) else None
            found[str(path)] = (status.st_mode, data and (status.st_mtime_ns, data))
    return found


def true_rows(rows: pl.DataFrame) -> None:
    """Every row is one that was measured."""
    names = [f"n{number}" for number in range(4 + STEPS)]
    true = expected_rows(range(len(names)))
    known = rows.filter(pl.col("name").is_in(names))
    assert known.height == rows.height
    assert_frame_equal(rows.sort("name"), true.filter(pl.col("name").is_in(rows["name"].to_list())))


def look_at_everything(base: Path, whole: Session, untouched: set[str]) -> None:
    """Read, compare, note and pack a session; steps that were left alone have all their rows."""
    for summary in list_sessions(base):
        assert summary.age_seconds >= 0
    session = Session.open("s", root=base)
    opened = {recorded.id: recorded for recorded in session.steps}
    for recorded in opened.values():
        true_rows(recorded.rows())
        assert recorded.done_rows == recorded.rows().height == len(recorded.keys())
        assert recorded.info.state
        assert isinstance(read_view(recorded), dict)
        assert recorded.estimates() is None or recorded.size_bytes
    for name in untouched:
        assert_frame_equal(opened[name].rows(), whole.step(name).rows())
    assert diff(whole, session).model is not None
    assert pack(session, base.parent / "packed.zip") is not None
    session.note("again", step=next(iter(opened), None))


def test_no_damage_to_a_folder_brings_more_than_one_clear_line(pristine, tmp_path, workbench):
    chance = random.Random(2024)
    base, outside = tmp_path / "data" / "sessions", tmp_path / "outside" / "step.json"
    outside.parent.mkdir()
    outside.write_text("untouched")
    whole = Session.open("s", root=pristine)
    steps = {recorded.id for recorded in whole.steps}
    done, opened = 0, 0
    for number in range(ROUNDS):
        shutil.rmtree(base, ignore_errors=True)
        shutil.copytree(pristine, base)
        damage = Damage(base / "s", outside, chance)
        ways = [damage.once() for _ in range(chance.randint(1, MUTATIONS))]
        done += len(ways)
        before = snapshot(tmp_path, base)
        try:
            look_at_everything(base, whole, steps - damage.touched)
            opened += 1
        except WorkbenchError as error:
            assert len(str(error).splitlines()) == 1, (number, ways)
            assert damage.touched, (number, ways)
        except BaseException:
            print("round", number, ways, sorted(damage.touched))
            raise
        (tmp_path / "packed.zip").unlink(missing_ok=True)
        (base.parent / "packed.zip").unlink(missing_ok=True)
        assert snapshot(tmp_path, base) == before, (number, ways)
        if number % 6 == 0:
            for command in (["ls"], ["ls", "--json"], ["show", "s"], ["show", "s", "--json"]):
                outcome = workbench("sessions", *command)
                assert outcome.code in (0, 1, 2), (number, ways)
                assert "mistake of the program" not in outcome.err, (number, ways)
    assert done >= 200
    assert opened > ROUNDS / 2


def test_no_bundle_brings_more_than_one_clear_line(pristine, tmp_path):
    chance = random.Random(2025)
    good = tmp_path / "good.zip"
    pack(Session.open("s", root=pristine), good)
    data = good.read_bytes()
    base, file = tmp_path / "sessions", tmp_path / "bundle.zip"
    base.mkdir()
    opened = 0
    for number in range(BUNDLES):
        way = chance.choice((flipped, cut, spliced, renamed, bomb, retyped))
        file.write_bytes(way(data, chance))
        before = snapshot(tmp_path, base)
        try:
            session = unpack(file, base)
            for recorded in session.steps:
                true_rows(recorded.rows())
            opened += 1
            assert os.listdir(base) == [session.name]
            shutil.rmtree(session.folder)
        except WorkbenchError as error:
            assert len(str(error).splitlines()) == 1, (number, way.__name__)
        except BaseException:
            print("bundle", number, way.__name__)
            raise
        assert snapshot(tmp_path, base) == before, (number, way.__name__)
        assert os.listdir(base) == [], (number, way.__name__)
    assert 0 < opened < BUNDLES / 2


def flipped(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    # Half of them among the names and sizes at the end, where the archive says what is in it.
    start = chance.choice((0, data.rindex(b"PK\x01\x02") - 900))
    for _ in range(chance.choice((1, 1, 4, 30))):
        changed[chance.randrange(start, len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def spliced(data: bytes, chance: random.Random) -> bytes:
    """Bytes put in, or a stretch of the archive repeated somewhere else in it."""
    place, other = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
    piece = chance.choice((chance.randbytes(20), data[other : other + 300], bytes(70_000)))
    return data[:place] + piece + data[place:]


def _entries(data: bytes) -> list[tuple[zipfile.ZipInfo, bytes]]:
    import io

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(each, archive.read(each)) for each in archive.infolist()]


def _archive(entries: list[tuple[zipfile.ZipInfo, bytes]]) -> bytes:
    import io

    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore")
        for info, content in entries:
            with archive.open(info, "w") as target:
                target.write(content)
    return buffer.getvalue()


def renamed(data: bytes, chance: random.Random) -> bytes:
    """Files under hostile names, as links, twice, or in each other's place."""
    entries = _entries(data)
    pieces = ["..", "", ".", "/", "\\", "s", "S", "001-counting", "files", "step.json", "C:", "a\n"]
    pieces += [
        "session.json",
        "x.safetensors",
        ".lock",
        "part-00000.parquet",
        "é",
        "\x00",
        "~",
        "*",
    ]
    for _ in range(chance.randint(1, 3)):
        place = chance.randrange(len(entries))
        old, content = entries[place]
        name = "/".join(chance.choice(pieces) for _ in range(chance.randint(1, 4)))
        info = zipfile.ZipInfo(chance.choice((name, f"s/{name}", f"s/001-counting/{name}")))
        if chance.random() < 0.3:
            info = zipfile.ZipInfo(old.filename)
            kind = chance.choice((stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR))
            info.external_attr = (kind | 0o777) << 16
            content = b"../../outside"
        if chance.random() < 0.5:
            entries[place] = (info, content)
        else:
            entries.insert(place, (info, content))
    return _archive(entries)


def bomb(data: bytes, chance: random.Random) -> bytes:
    """A few bytes that would become many."""
    entries = _entries(data)
    place = chance.randrange(len(entries))
    info = zipfile.ZipInfo(entries[place][0].filename)
    info.compress_type = chance.choice((zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    filler = chance.choice((b"\0", b" ", b"[")) * chance.choice((2**20, 2**22))
    entries[place] = (info, filler + entries[place][1])
    return _archive(entries)


def retyped(data: bytes, chance: random.Random) -> bytes:
    """A session whose documents hold what they should not."""
    entries = _entries(data)
    places = [place for place, each in enumerate(entries) if each[0].filename.endswith(".json")]
    place = chance.choice(places)
    document = json.loads(entries[place][1])
    inside = document
    key = chance.choice(list(document))
    if isinstance(document[key], dict) and document[key]:
        inside = document[key]
        key = chance.choice(list(inside))
    inside[key] = chance.choice(WRONG)
    entries[place] = (entries[place][0], json.dumps(document).encode())
    return _archive(entries)
