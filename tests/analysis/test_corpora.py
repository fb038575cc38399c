"""Texts of every kind, read document by document from any place on."""

from __future__ import annotations

import gzip
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from analysis.errors import InputError
from analysis.tasks import corpora
from analysis.tasks.corpora import LONGEST, Corpus

DOCUMENTS = ["One two three.", "Zweite Zeile\nmit Umlaut: süß", "…", 'He said "no", and left.'] * 5


def as_text(path: Path) -> None:
    path.write_text("\n\n".join(DOCUMENTS) + "\n\n\n", "utf-8")


def as_json(path: Path) -> None:
    path.write_text("".join(json.dumps({"text": each, "id": 3}) + "\n" for each in DOCUMENTS))


def as_csv(path: Path) -> None:
    pl.DataFrame({"id": range(len(DOCUMENTS)), "text": DOCUMENTS}).write_csv(path)


def as_parquet(path: Path) -> None:
    pl.DataFrame({"id": range(len(DOCUMENTS)), "text": DOCUMENTS}).write_parquet(path)


def packed(write: Callable[[Path], None]) -> Callable[[Path], None]:
    def write_packed(path: Path) -> None:
        plain = path.with_suffix("")
        write(plain)
        path.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
        plain.unlink()

    return write_packed


WRITERS = {
    "a.txt": as_text,
    "a.jsonl": as_json,
    "a.csv": as_csv,
    "a.parquet": as_parquet,
    "a.txt.gz": packed(as_text),
    "a.jsonl.gz": packed(as_json),
    "a.csv.gz": packed(as_csv),
}


@pytest.fixture(params=WRITERS)
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> Corpus:
    """The same documents in every kind of file."""
    WRITERS[request.param](tmp_path / request.param)
    return Corpus.at(tmp_path / request.param)


def test_every_kind_of_file_gives_its_documents_in_order(corpus: Corpus):
    found = list(corpus.open()(0))
    assert [each.text for each in found] == DOCUMENTS
    shares = [each.share for each in found]
    assert shares == sorted(shares)
    assert shares[0] >= 0
    assert shares[-1] <= 1


def test_reading_goes_on_behind_any_document(corpus: Corpus):
    read = corpus.open()
    for place, each in enumerate(read(0), start=1):
        assert [more.text for more in read(each.next)] == DOCUMENTS[place:]


def test_a_folder_is_its_files_one_after_the_other(tmp_path: Path):
    folder = tmp_path / "texts"
    (folder / "deep").mkdir(parents=True)
    for name in ("b.txt.gz", "a.jsonl", "deep/c.parquet"):
        WRITERS[f"a{name[name.index('.') :]}"](folder / name)
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    read = Corpus.at(folder).open()
    found = list(read(0))
    assert [each.text for each in found] == DOCUMENTS * 3
    assert [each.text for each in read(found[24].next)] == (DOCUMENTS * 3)[25:]
    assert found[-1].share > 0.9


def test_a_long_document_is_divided_and_nothing_of_it_is_lost(tmp_path: Path):
    chance = random.Random(1)
    words = " ".join("äöüx"[: chance.randint(1, 4)] for _ in range(40_000))
    (tmp_path / "long.txt").write_text(words, "utf-8")
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": words}))
    (tmp_path / "solid.txt").write_text("ß" * 50_000, "utf-8")
    for name, whole in (("long.txt", words), ("long.jsonl", words), ("solid.txt", "ß" * 50_000)):
        read = Corpus.at(tmp_path / name).open()
        found = list(read(0))
        assert len(found) > 2
        assert all(len(each.text) <= LONGEST for each in found)
        assert "".join(each.text for each in found) == whole
    last = list(Corpus.at(tmp_path / "solid.txt").open()(found[1].next))
    assert [each.text for each in last] == [each.text for each in found[2:]]


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


@pytest.mark.parametrize(
    ("name", "data", "column", "reason"),
    [
        ("no.txt", None, None, "there is no file or folder no.txt"),
        ("a.txt", "", None, "a.txt is empty"),
        ("a.txt", " \n \n", None, "a.txt is empty"),
        ("a.txt", b"abc\0def", None, "bytes that no text has"),
        ("a.txt", b"ok\nf\xfcr alle immer\n", None, r"no UTF-8 text \(line 2\)"),
        ("a.txt", "some text", "body", "running text, without columns"),
        ("a.txt.gz", gzip.compress(b"abc" * 9_000, mtime=0)[:-20], None, "no whole gzip file"),
        ("a.jsonl", "{broken\n", None, "byte 8 is not JSON"),
        ("a.jsonl", "[1, 2]\n", None, "is not an object"),
        ("a.jsonl", '{"a": "x", "b": "y"}\n', None, "has the columns a, b; say which"),
        ("a.jsonl", '{"a": "x"}\n', "text", "--column text is not in a.jsonl; it has a"),
        ("a.jsonl", '{"a": 3}\n', "a", "a.jsonl has no column of texts; it has a"),
        ("a.jsonl", '{"a": 3, "b": ""}\n', "a", "--column a of a.jsonl holds no texts"),
        ("a.csv", "id,text\n", "body", "--column body is not in a.csv; it has id, text"),
        ("a.parquet", b"PAR1 nothing", None, "cannot read a.parquet"),
    ],
)
def test_what_is_no_text_is_refused_in_one_line(
    tmp_path: Path, name: str, data: str | bytes | None, column: str | None, reason: str
):
    path = tmp_path / name if data is None else write(tmp_path, name, data)
    with pytest.raises(InputError, match=reason) as caught:
        Corpus.at(path, column)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jsonl", '{"text": "x"}\n{"text": \n', "byte 24 is not JSON"),
        ("a.jsonl", '{"text": "x"}\n{"body": "y"}\n', "has no text; it has body"),
        ("a.jsonl", '{"text": "x"}\n{"text": 3}\n', "holds no text as text"),
        ("a.csv", "text\n" + "x" * 90 + "\n", "this is no row of the table"),
    ],
)
def test_what_turns_out_broken_is_said_with_its_place(
    tmp_path: Path, name: str, data: str, reason: str, monkeypatch: pytest.MonkeyPatch
):
    corpus = Corpus.at(write(tmp_path, name, data))
    monkeypatch.setattr(corpora, "MAX_LINE", 80)
    with pytest.raises(InputError, match=reason):
        list(corpus.open()(0))


def test_a_record_says_which_text_it_was_and_finds_it_again_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    as_text(tmp_path / "mine.txt")
    corpus = Corpus.at(tmp_path / "mine.txt")
    assert str(tmp_path) not in corpus.model_dump_json()
    recorded = Corpus.model_validate_json(corpus.model_dump_json())
    assert recorded == corpus
    monkeypatch.setattr(corpora, "_PLACES", {})  # as another process
    with pytest.raises(InputError, match=r"the text mine\.txt .* is not in this folder"):
        recorded.open()
    monkeypatch.chdir(tmp_path)
    assert len(list(recorded.open()(0))) == len(DOCUMENTS)
    (tmp_path / "mine.txt").write_text("something else")
    monkeypatch.setattr(corpora, "_PLACES", {})
    with pytest.raises(InputError, match="is not in this folder"):
        recorded.open()


def test_the_text_that_comes_along_is_plain_and_large_enough():
    shipped = Corpus.shipped()
    texts = [each.text for each in shipped.open()(0)]
    whole = "\n\n".join(texts)
    assert len(whole) > 2**20
    assert all(char == "\n" or char.isprintable() for char in whole)
    assert len(texts) > 2_000


def test_a_data_set_needs_its_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match="needs the library `datasets`"):
        Corpus.at(Path("hf:owner/name"))


class Streamed(list[dict[str, object]]):
    """Rows as the library `datasets` streams them."""

    split = "train"
    info = SimpleNamespace(
        splits={"train": SimpleNamespace(num_examples=len(DOCUMENTS))},
        version="1.0.0",
        download_checksums=None,
    )

    def skip(self, count: int) -> Streamed:
        return Streamed(self[count:])


def test_a_data_set_is_read_by_its_name_from_any_place_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(name: str, *, split: str, streaming: bool) -> Streamed:
        asked.append((name, split, streaming))
        if name != "owner/name":
            raise ValueError("no such data set\nand more")
        rows: list[dict[str, object]] = [{"id": 3, "words": each} for each in DOCUMENTS]
        return Streamed([*rows, {"id": 3, "words": None}])

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    corpus = Corpus.at(Path("hf:owner/name:small"))
    assert (corpus.name, corpus.column) == ("hf:owner/name:small", "words")
    assert corpus.bytes == len(DOCUMENTS)
    assert {*asked} == {("owner/name", "small", True)}
    read = [each for each in corpus.open()(0) if each.text]
    assert [each.text for each in read] == DOCUMENTS
    assert [each.text for each in corpus.open()(read[2].next) if each.text] == DOCUMENTS[3:]
    assert [each.share for each in read] == sorted(each.share for each in read)
    with pytest.raises(InputError, match="cannot read hf:owner/other: no such data set$"):
        Corpus.at(Path("hf:owner/other"))
    with pytest.raises(InputError, match="text"):
        Corpus.at(Path("hf:owner/name"), "text")
