"""Text to read a model on: files of any size, read document by document and never held whole."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from io import BufferedReader, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from analysis.errors import InputError, first_line
from analysis.options import Given, Option, Typed, naming

LONGEST = 2**15
"""Bytes of a document of running text; a longer one is divided, at an end of a line if it can."""
MAX_LINE = 2**26
"""Bytes of one line of JSON: a broken file may have no line ends."""
HASHED = 64
"""A text of more than so many MiB is known by as many of them, spread evenly."""
LOOKED_AT = 2**20
"""Bytes of a file that are looked at before it is taken."""
SHIPPED = "shipped"
DATA_SET = "hf:"
ROWS = 1_024
"""Of a Parquet file at once."""
NAMED = 8
"""Columns that an error names."""
TABLES = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
JSON_LINES = (".jsonl", ".ndjson", ".json")
PARQUET = (".parquet", ".pq")
TEXTS = (".txt", ".text", ".md", ".rst", ".tex")
_ENDINGS = (*TEXTS, *JSON_LINES, *TABLES, *PARQUET)
_FILE_BITS = 44
"""A place in a folder is the number of a file, then so many bits of a place in it."""

TEXT = Option(
    "text",
    "A text, JSONL, CSV or Parquet file, gzipped or not, a folder of these, or a data set of "
    "Hugging Face as hf:OWNER/NAME[:SPLIT]; else 1.2 MB that come with the program.",
    Path,
    file=True,
)
COLUMN = Option("column", "The column that holds the text; else `text`, or the only one of texts.")


class TextDocument(NamedTuple):
    """One document of a corpus."""

    text: str
    share: float
    """How much of the corpus lies before it, 0 to 1."""
    next: int
    """The place to start from to read on behind it."""


Reader: TypeAlias = Callable[[int], Iterator[TextDocument]]
"""Documents from a place on; 0 is the beginning."""


class Corpus(BaseModel):
    """Which text: its name, size and hash, never where it lies on a machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Of the file, folder or data set."""
    bytes: int = Field(ge=0)
    """Of the file or all files as they lie on disk; of a data set its documents."""
    sha256: str
    """Of a file up to 64 MiB; of a larger one, of 64 of its MiB, spread evenly; of a folder, of the
    names and hashes of its files; of a data set, its revision."""
    column: str | None = None
    """Where the documents stand in a table."""

    @classmethod
    def at(cls, path: Path, column: str | None = None) -> Corpus:
        """The text at a path, or the one that a path of the form `hf:NAME` names.

        Raises:
            InputError: it is no text that can be read.
        """
        if str(path).startswith(DATA_SET):
            return _data_set_named(str(path).removeprefix(DATA_SET), column)
        path = path.expanduser()
        with _said_of(path.name):
            found = _files_in(path)
            columns = sorted(filter(None, {_checked(each, column) for each in found}))
            if column is not None and not columns:
                raise InputError(f"--column {column}: {path.name} is running text, without columns")
            if len(columns) > 1:
                raise InputError(
                    f"the files of {path.name} have their texts in {' and '.join(columns)}; "
                    "say which with --column NAME"
                )
            named = [f"{each.relative_to(path)} {_hash(each)}" for each in found if each != path]
            corpus = cls(
                name=path.name or path.resolve().name,
                bytes=sum(each.stat().st_size for each in found),
                sha256=hashlib.sha256("\n".join(named).encode()).hexdigest()
                if named
                else _hash(path),
                column=columns[0] if columns else None,
            )
        _PLACES[corpus.sha256] = path
        return corpus

    @classmethod
    def shipped(cls) -> Corpus:
        """The public-domain text that comes with the program."""
        with as_file(files("analysis.tasks.texts") / "corpus.txt.gz") as path:
            return cls.at(path).model_copy(update={"name": SHIPPED})

    @property
    def size(self) -> str:
        """How much it is, in words."""
        if self.name.startswith(DATA_SET):
            return f"{self.bytes:,} documents"
        return f"{self.bytes / 1e6:.2g} MB" if self.bytes < 1e8 else f"{self.bytes / 1e6:,.0f} MB"

    def open(self) -> Reader:
        """What reads its documents.

        Raises:
            InputError: it is not where it was, or is another text by now.
        """
        if self.name.startswith(DATA_SET):
            return _data_set_reader(self)
        path = self._place()
        found = _files_in(path)
        readers = [_reader(each, self.column) for each in found]
        if found == [path]:
            return readers[0]
        return _one_after_another(readers, [each.stat().st_size for each in found])

    def document(self) -> Callable[[int, int], str]:
        """What reads one document, given the place of one at or before it (0 the first) and how
        many documents behind that one it is.

        Raises:
            InputError: the text is not there any more; when it is called, that it ends before.
        """
        reader = self.open()

        def read(start: int, skip: int) -> str:
            found = next(islice(reader(start), skip, None), None)
            if found is None:
                raise InputError(f"the text {self.name} ends before that document")
            return found.text

        return read

    def _place(self) -> Path:
        """Where it lies: where this process saw it, or under its name in the current folder."""
        if (known := _PLACES.get(self.sha256)) is not None and known.exists():
            return known
        if self.name == SHIPPED and Corpus.shipped().sha256 == self.sha256:
            return _PLACES[self.sha256]
        here = Path(self.name)
        if here.exists() and Corpus.at(here, self.column).sha256 == self.sha256:
            return here
        raise InputError(
            f"the text {self.name} ({self.size}, sha256 {self.sha256[:12]}…) is not in this "
            "folder; go to the folder where it lies, and go on from there"
        )


_PLACES: dict[str, Path] = {}
"""Where texts lie that this process was told of, by their hashes. No record holds it."""


def read_corpus(given: Given) -> Corpus:
    """The text of `--text`, or the one that comes with the program.

    Raises:
        InputError: it cannot be read.
    """
    if given["text"] is None:
        if given["column"] is not None:
            raise InputError("--column goes with --text FILE")
        return Corpus.shipped()
    with naming("--text"):
        return Corpus.at(given["text"], given["column"])


A_CORPUS = Typed((TEXT, COLUMN), read_corpus)


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    """Turn what the system, gzip and Polars have against a file into one line."""
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"there is no file or folder {name}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {name}: it is no whole gzip file") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"cannot read {name}: {reason[:200]}") from error
    except OSError as error:
        raise InputError(f"cannot read {name}: {error.strerror or error}") from error


def _files_in(path: Path) -> list[Path]:
    """A file, or the files of a folder and those below it that can be texts, by name."""
    if not path.is_dir():
        path.stat()
        if not path.is_file():
            raise InputError(f"{path.name} is neither a file nor a folder")
        return [path]
    found = sorted(
        each
        for each in path.rglob("*")
        if each.is_file() and not each.name.startswith(".") and _ending(each) in _ENDINGS
    )
    if not found:
        raise InputError(f"the folder {path.name} holds no files that end in {', '.join(_ENDINGS)}")
    return found


def _ending(path: Path) -> str:
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return inner.suffix.lower()


def _hash(path: Path) -> str:
    size, block = path.stat().st_size, 2**20
    blocks = -(-size // block)
    spread = [place * (blocks - 1) // (HASHED - 1) for place in range(HASHED)]
    chosen = spread if blocks > HASHED else range(blocks)
    digest = hashlib.sha256() if blocks <= HASHED else hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for place in chosen:
            file.seek(place * block)
            digest.update(file.read(block))
    return digest.hexdigest()


def _checked(path: Path, column: str | None) -> str | None:
    """Look at the beginning of a file; the column that its documents stand in, if it has columns.

    Raises:
        InputError: it is nothing that can be read, or has no such column.
    """
    ending = _ending(path)
    if path.stat().st_size == 0:
        raise InputError(f"{path.name} is empty")
    if ending in PARQUET:
        schema = pl.read_parquet_schema(path)
        texts = [name for name, dtype in schema.items() if dtype == pl.String]
        return _column(path.name, texts, list(schema), column)
    _check_text(path)
    if ending in TABLES:
        with _rows(path) as (rows, _):
            names = [str(each) for each in rows.fieldnames or ()]
        return _column(path.name, names, names, column)
    if ending in JSON_LINES:
        first = next(_objects(path, 0)).fields
        texts = [name for name, value in first.items() if isinstance(value, str)]
        return _column(path.name, texts, list(first), column)
    return None


def _check_text(path: Path) -> None:
    with _stream(path) as (file, _):
        head = file.read(LOOKED_AT)
    if b"\0" in head:
        raise InputError(f"{path.name} is no UTF-8 text: it holds bytes that no text has")
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # else a character is cut by the end of what is looked at
            line = head.count(b"\n", 0, error.start) + 1
            raise InputError(f"{path.name} is no UTF-8 text (line {line})") from error
    if not head.strip():
        raise InputError(f"{path.name} is empty")


def _column(file: str, texts: list[str], names: list[str], column: str | None) -> str:
    named = ", ".join(names[:NAMED]) + ", …" * (len(names) > NAMED)
    chosen = column or ("text" if "text" in texts else texts[0] if len(texts) == 1 else None)
    if not texts:
        raise InputError(f"{file} has no column of texts; it has {named}")
    if chosen is None:
        raise InputError(f"{file} has the columns {named}; say which with --column NAME")
    if chosen not in texts:
        what = f"of {file} holds no texts" if chosen in names else f"is not in {file}"
        raise InputError(f"--column {chosen} {what}; it has {named}")
    return chosen


def _reader(path: Path, column: str | None) -> Reader:
    """What reads one file."""
    ending = _ending(path)
    if column is None or ending in TEXTS:
        return lambda start: _paragraphs(path, start)
    if ending in PARQUET:
        return lambda start: _parquet(path, column, start)
    if ending in TABLES:
        return lambda start: _table(path, column, start)
    return lambda start: _json_lines(path, column, start)


def _one_after_another(readers: list[Reader], sizes: list[int]) -> Reader:
    """The files of a folder as one text."""
    total = max(sum(sizes), 1)

    def documents(start: int) -> Iterator[TextDocument]:
        first, within = start >> _FILE_BITS, start & ((1 << _FILE_BITS) - 1)
        for number in range(first, len(readers)):
            before = sum(sizes[:number])
            for each in readers[number](within if number == first else 0):
                share = (before + each.share * sizes[number]) / total
                yield TextDocument(each.text, share, (number << _FILE_BITS) + each.next)

    return documents


class _Sips:
    """A file that is read in small steps, so that how much of it was read says where one is."""

    def __init__(self, raw: BufferedReader) -> None:
        self._raw = raw

    def read(self, size: int) -> bytes:
        return self._raw.read(min(size, 2**12))

    def seek(self, place: int, whence: int = 0) -> int:
        return self._raw.seek(place, whence)

    def seekable(self) -> bool:
        return True


@contextmanager
def _stream(path: Path) -> Iterator[tuple[Any, Callable[[], float]]]:
    """The bytes of a file, unpacked, and how much of it is read."""
    size = max(path.stat().st_size, 1)
    with _said_of(path.name), path.open("rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        file = gzip.GzipFile(fileobj=_Sips(raw)) if packed else raw
        yield file, lambda: raw.tell() / size


def _pieces(text: str) -> list[str]:
    """A document, or a long one in parts, divided at blanks."""
    found = []
    while len(text) > LONGEST:
        end = text.rfind(" ", LONGEST // 2, LONGEST)
        end = LONGEST if end < 0 else end
        found.append(text[:end])
        text = text[end:]
    return [each for each in (*found, text) if each.strip()]


def _paragraphs(path: Path, start: int) -> Iterator[TextDocument]:
    """Running text: a document is what stands between blank lines, `LONGEST` bytes at most."""
    with _stream(path) as (file, read):
        file.seek(start)
        at, held, share, rest = start, b"", 0.0, b""
        while True:
            here = read()
            line, rest = _cut(rest + file.readline(LONGEST - len(rest)))
            if held and (not line.strip() or len(held) + len(line) > LONGEST):
                text = held.decode("utf-8", errors="replace").removeprefix("\ufeff")
                yield TextDocument(text.strip("\r\n"), share, at)
                held = b""
            if not line:
                return
            if line.strip():
                share, held = share if held else here, held + line
            at += len(line)


def _cut(line: bytes) -> tuple[bytes, bytes]:
    """A line, or what of a long one goes into a document, and what is left for the next."""
    if len(line) < LONGEST or line.endswith(b"\n"):
        return line, b""
    end = line.rfind(b" ", LONGEST // 2) + 1 or len(line) - 4
    if end < len(line):
        # Not inside a character, which has three more bytes at most.
        end = next((e for e in range(end, end - 4, -1) if line[e] & 0xC0 != 0x80), end)
    return line[:end], line[end:]


class _JsonLine(NamedTuple):
    """One line of JSON."""

    fields: dict[str, Any]
    share: float
    """How much of the file lies before it."""
    end: int
    """The place behind it."""
    where: str


def _objects(path: Path, start: int) -> Iterator[_JsonLine]:
    """Each line of JSON; a text alone is taken as `text`."""
    with _stream(path) as (file, read):
        file.seek(start)
        at, share = start, read()
        while line := file.readline(MAX_LINE):
            at += len(line)
            if line.strip():
                where = f"{path.name}: the line that ends at byte {at:,}"
                yield _JsonLine(_object(line, where), share, at, where)
            share = read()


def _object(line: bytes, where: str) -> dict[str, Any]:
    if len(line) == MAX_LINE and not line.endswith(b"\n"):
        raise InputError(f"{where} is longer than {MAX_LINE // 2**20} MiB")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON; an object a line is expected") from error
    found = {"text": found} if isinstance(found, str) else found
    if not isinstance(found, dict):
        raise InputError(f'{where} is not an object like {{"text": "…"}}')
    return found


def _json_lines(path: Path, column: str, start: int) -> Iterator[TextDocument]:
    """A document a line; a null is none."""
    for line in _objects(path, start):
        if column not in line.fields:
            names = ", ".join(list(line.fields)[:NAMED])
            raise InputError(f"{line.where} has no {column}; it has {names}")
        found = line.fields[column]
        if found is not None and not isinstance(found, str):
            raise InputError(f"{line.where} holds no text as {column}")
        for piece in _pieces(found or ""):
            yield TextDocument(piece, line.share, line.end)


@contextmanager
def _rows(path: Path) -> Iterator[tuple[csv.DictReader[str], Callable[[], float]]]:
    """The rows of a table of texts, and how much of it is read."""
    csv.field_size_limit(MAX_LINE)
    with _stream(path) as (file, read):
        lines = TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        rows = csv.DictReader(lines, delimiter=TABLES[_ending(path)], restkey="")
        try:
            yield rows, read
        except csv.Error as error:
            where = f"{path.name} line {rows.line_num}"
            raise InputError(f"{where}: this is no row of the table ({error})") from error


def _table(path: Path, column: str, start: int) -> Iterator[TextDocument]:
    """A document a row; places are numbers of rows."""
    with _rows(path) as (rows, read):
        share = read()
        for number, row in enumerate(rows, start=1):
            if number > start:
                for piece in _pieces(row[column] or ""):
                    yield TextDocument(piece, share, number)
            share = read()


def _parquet(path: Path, column: str, start: int) -> Iterator[TextDocument]:
    """A document a row; places are numbers of rows."""
    with _said_of(path.name):
        scan = pl.scan_parquet(path, glob=False, hive_partitioning=False).select(column)
        total = max(scan.select(pl.len()).collect().item(), 1)
        number = start
        for batch in scan.slice(start).collect_batches(chunk_size=ROWS, maintain_order=True):
            for text in batch[column]:
                number += 1
                for piece in _pieces(text or ""):
                    yield TextDocument(piece, (number - 1) / total, number)


def _data_set(name: str) -> Any:
    """What `datasets` knows of a data set, from the hub; no code of its repository is run.

    Raises:
        InputError: `datasets` is not installed, or there is no such data set.
    """
    try:
        import datasets
    except ImportError:
        raise InputError(
            f"{DATA_SET}{name} needs the library `datasets`: pip install datasets; "
            "or give a file with --text FILE"
        ) from None
    repository, _, split = name.partition(":")
    try:
        return datasets.load_dataset(repository, split=split or "train", streaming=True)
    except Exception as error:  # each of its many kinds means that there is nothing to read
        raise InputError(f"cannot read {DATA_SET}{name}: {first_line(error)[:200]}") from error


def _data_set_named(name: str, column: str | None) -> Corpus:
    found = _data_set(name)
    first = next(iter(found), None)
    if first is None:
        raise InputError(f"{DATA_SET}{name} is empty")
    texts = [each for each, value in first.items() if isinstance(value, str)]
    split = (found.info.splits or {}).get(str(found.split))
    return Corpus(
        name=DATA_SET + name,
        bytes=0 if split is None else split.num_examples,
        sha256=str(found.info.version) + str(found.info.download_checksums or ""),
        column=_column(DATA_SET + name, texts, list(first), column),
    )


def _data_set_reader(corpus: Corpus) -> Reader:
    total = max(corpus.bytes, 1)

    def documents(start: int) -> Iterator[TextDocument]:
        found = _data_set(corpus.name.removeprefix(DATA_SET)).skip(start)
        for number, row in enumerate(found, start=start + 1):
            for piece in _pieces(row[corpus.column] or ""):
                yield TextDocument(piece, min((number - 1) / total, 1.0), number)

    return documents
