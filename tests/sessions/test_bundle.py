"""A session in one file, and such files that were made to do harm."""

from __future__ import annotations

import stat
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from counting_step import CountingStep, FakeModel, expected_rows, model_info
from polars.testing import assert_frame_equal

from analysis.errors import InputError, WorkbenchError
from sessions import Rows, Session, bundle, record, root
from sessions.bundle import pack, unpack

Entry = tuple[zipfile.ZipInfo | str, bytes]


@pytest.fixture
def packed(session: Session, model: FakeModel, tmp_path: Path) -> Path:
    """A finished step with a file, and a stopped one, in a bundle."""
    list(record(session, CountingStep(estimated=True), model))
    adapter = session.step(1).folder / "files" / "lora-L1"
    adapter.mkdir(parents=True)
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "README.md").write_text("# words")
    for update in record(session, CountingStep(count=12), model):
        if isinstance(update, Rows) and update.done == 9:
            break
    session.note("mine")
    session.close()
    path = tmp_path / "s.zip"
    assert pack(Session.open("s"), path) == ["001-counting/files/lora-L1/README.md"]
    return path


def entries(path: Path) -> list[Entry]:
    with zipfile.ZipFile(path) as archive:
        return [(each.filename, archive.read(each)) for each in archive.infolist()]


def written(path: Path, contents: list[Entry]) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # the same name twice is what some of them are about
        for name, data in contents:
            info = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            with archive.open(info, "w") as file:
                file.write(data)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    skipped = (".lock", "README.md")
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in skipped
    }


def test_an_unpacked_session_is_the_one_that_was_packed(packed, model):
    again = unpack(packed, name="t")
    assert again.folder == root() / "t"
    assert tree(again.folder) == tree(root() / "s")
    assert (again.info.note, again.notices) == ("mine", [])
    assert_frame_equal(again.step(1).rows(), expected_rows(range(10)))
    assert again.step(1).files == again.folder / "001-counting/files"
    with Session.open("t", writable=True) as writable:
        list(record(writable, CountingStep(count=12), model, resume=writable.step(2)))
    assert_frame_equal(again.step(2).rows(), expected_rows(range(12)))


def test_on_another_machine_it_keeps_its_name(packed, tmp_path):
    assert unpack(packed, tmp_path / "elsewhere").name == "s"
    assert sorted(each.name for each in (tmp_path / "elsewhere").iterdir()) == ["s"]


def test_the_same_session_makes_the_same_file(packed, tmp_path):
    pack(Session.open("s"), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_taken_name_is_refused_and_what_has_it_left_alone(packed):
    before = tree(root() / "s")
    with pytest.raises(InputError, match="called s exists already; choose another name with --nam"):
        unpack(packed)
    with pytest.raises(InputError, match="cannot name a session"):
        unpack(packed, name="../t")
    assert tree(root() / "s") == before
    assert [each.name for each in root().iterdir()] == ["s"]


def test_a_session_under_way_is_packed_as_far_as_it_got(session, model, tmp_path):
    updates = record(session, CountingStep(), model)
    next(updates), next(updates)
    pack(session, tmp_path / "half.zip")
    list(updates)
    again = unpack(tmp_path / "half.zip", name="t")
    assert again.step(1).info.state == "interrupted"
    assert_frame_equal(again.step(1).rows(), expected_rows(range(3)))


def test_parts_merged_while_they_are_packed_lose_no_row(session, model, tmp_path, monkeypatch):
    updates = record(session, CountingStep(), model)
    for _ in range(5):
        next(updates)
    plain, added = zipfile.ZipFile.open, []

    def slowly(archive, member, mode="r", **more):
        if mode == "w":
            added.append(member.filename)
            if member.filename.endswith("part-00000.parquet"):
                list(updates)
        return plain(archive, member, mode, **more)

    monkeypatch.setattr(zipfile.ZipFile, "open", slowly)
    pack(session, tmp_path / "s.zip")
    assert added.count("s/session.json") == 2
    assert_frame_equal(
        unpack(tmp_path / "s.zip", name="t").step(1).rows(), expected_rows(range(10))
    )


def test_links_and_files_of_the_moment_stay_out_of_a_bundle(packed, session, tmp_path):
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (session.folder / "001-counting/files/away.json").symlink_to(secret)
    (session.folder / "001-counting/files/folder").symlink_to(tmp_path)
    (session.folder / "003-counting").symlink_to(session.folder / "001-counting")
    (session.folder / "001-counting/.new-step.json").write_text("half")
    left_out = pack(Session.open("s"), tmp_path / "again.zip")
    assert "001-counting/files/away.json" in left_out
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_a_bundle_that_cannot_be_written_leaves_the_old_one(packed, tmp_path, monkeypatch):
    before = packed.read_bytes()

    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(WorkbenchError, match="cannot write s.zip: No space left on device"):
        pack(Session.open("s"), packed)
    with pytest.raises(WorkbenchError, match="No space left on device"):
        unpack(packed, name="t")
    assert packed.read_bytes() == before
    assert [each.name for each in root().iterdir()] == ["s"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "s.zip"]
    with pytest.raises(InputError, match="there is no folder"):
        pack(Session.open("s"), tmp_path / "nowhere" / "s.zip")


def linked(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def deflated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def squeezed(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_LZMA
    return info


HOSTILE: list[tuple[Entry, str]] = [
    *(
        ((name, b"{}"), "which no session is made of")
        for name in (
            "../escaped.json",
            "/absolute.json",
            "s/../escaped.json",
            "s/../../escaped.json",
            "s/001-counting/../../escaped.json",
            "s/001-counting/files/../../../escaped.json",
            "s\\..\\escaped.json",
            "C:/escaped.json",
            "t/session.json",
            "s/.lock",
            "s/writer.json",
            "s/SESSION.JSON",
            "s/001-Counting/step.json",
            "s/001-counting/STEP.json",
            "s/٠٠١-counting/step.json",
            "s/001-counting/run.py",
            "s/001-counting/files/model.bin",
            "s/001-counting/files/model.pkl",
            "s/001-counting/files/.hidden.json",
            "s/001-counting/files/a./b.json",
            "s/001-counting/files/é.json",
            "s/001-counting/files/a\n.json",
            "s/001-counting/files/1/2/3/4/deep.json",
            "s//session.json",
            "s/./session.json",
            "",
        )
    ),
    (("s/session.json", b"{}"), "twice"),
    (("s/001-counting/files/LORA-L1/adapter_config.json", b"{}"), "differ only in their case"),
    ((linked("s/001-counting/files/away.json"), b"/etc/passwd"), "is a link"),
    ((deflated("s/001-counting/files/bomb.json"), bytes(2**26)), "would grow more than 200 times"),
    ((deflated("s/001-counting/files/big.json"), bytes(2**26 + 1)), "is larger than 64 MiB"),
    ((squeezed("s/001-counting/files/x.json"), bytes(99)), "is compressed in another way"),
]


@pytest.mark.parametrize(("entry", "reason"), HOSTILE, ids=lambda each: str(each)[:40])
def test_what_no_session_is_made_of_is_refused_whole(packed, tmp_path, entry, reason):
    before = sorted(tmp_path.rglob("*"))
    contents = entries(packed)
    for place in (0, len(contents)):
        hostile = written(tmp_path / "hostile.zip", [*contents[:place], entry, *contents[place:]])
        with pytest.raises(InputError) as caught:
            unpack(hostile, name="t")
        assert reason in str(caught.value) or place == 0
        assert len(str(caught.value).splitlines()) == 1
        hostile.unlink()
    assert sorted(tmp_path.rglob("*")) == before


def test_limits_hold_for_all_files_together(packed, monkeypatch):
    for limit, reason in [("MAX_FILES", "a bundle has up to"), ("MAX_BYTES", "would take more")]:
        with monkeypatch.context() as patch:
            patch.setattr(bundle, limit, 3)
            with pytest.raises(InputError, match=reason):
                unpack(packed, name="t")
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1))
    with pytest.raises(WorkbenchError, match="more than is free"):
        unpack(packed, name="t")


def test_a_size_that_is_a_lie_is_found_out(packed, tmp_path):
    """The directory of a zip says how large a file is; what is unpacked may be more."""
    data = written(tmp_path / "lie.zip", [(deflated("s/session.json"), bytes(2**20))]).read_bytes()
    size = (2**20).to_bytes(4, "little")
    assert data.count(size) == 2
    (tmp_path / "lie.zip").write_bytes(data.replace(size, (99).to_bytes(4, "little")))
    with pytest.raises(InputError, match="is damaged or no bundle"):
        unpack(tmp_path / "lie.zip", name="t")
    assert list(root().iterdir()) == [root() / "s"]


def test_files_that_lie_over_one_another_are_refused(packed, tmp_path):
    """So a few bytes are unpacked many times: a bomb that no single file gives away."""
    data = bytearray(packed.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 24] = len(data).to_bytes(4, "little")  # compressed size
    (tmp_path / "over.zip").write_bytes(data)
    with pytest.raises(InputError, match="files that lie over one another"):
        unpack(tmp_path / "over.zip", name="t")


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda data: None, InputError, "it holds no session.json"),
        (lambda data: b"{", WorkbenchError, "cannot open the session in b.zip: it is damaged"),
        (
            lambda data: data.replace(b'"schema": 1', b'"schema": 99'),
            WorkbenchError,
            "cannot open the session in b.zip: it was written by a newer workbench",
        ),
    ],
)
def test_a_bundle_without_a_session_that_opens_leaves_nothing(
    packed, tmp_path, change: Callable[[bytes], bytes | None], error, reason
):
    contents = [
        (name, changed)
        for name, data in entries(packed)
        if (changed := change(data) if name == "s/session.json" else data) is not None
    ]
    with pytest.raises(error, match=reason):
        unpack(written(tmp_path / "b.zip", contents), name="t")
    assert [each.name for each in root().iterdir()] == ["s"]


def test_a_damaged_step_is_unpacked_as_it_is_and_set_aside(packed, tmp_path):
    contents = [
        (name, b"{" if name == "s/001-counting/step.json" else data)
        for name, data in entries(packed)
    ]
    session = unpack(written(tmp_path / "b.zip", contents), name="t")
    assert [each.id for each in session.steps] == ["002-counting"]
    assert "step 001-counting is set aside" in session.notices[0]


def test_what_is_no_zip_at_all_is_one_line(tmp_path, model):
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "folder.zip").mkdir()
    for name in ("x.zip", "folder.zip", "none.zip"):
        with pytest.raises(InputError) as caught:
            unpack(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert not root().exists()


def test_the_model_is_of_no_matter(packed, tmp_path):
    """A bundle of a session recorded with any model opens, with none loaded."""
    Session.create("other", model_info(name="big"), seed=1).close()
    pack(Session.open("other"), tmp_path / "o.zip")
    assert unpack(tmp_path / "o.zip", name="copy").info.model.name == "big"
