"""Cases from files as people have them: JSON, CSV, TSV or Parquet, gzipped or not."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet, as_prompt

MAX_CASES = 1_000_000
"""Of a table: a forged one can claim any number of rows in a few bytes."""
MAX_TEXT_BYTES = 256 * 2**20
"""Of a file's text, unpacked: a gzip file or a table of a few bytes can hold any amount."""
PARQUET = (".parquet", ".pq")
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
FIELDS = tuple(Prompt.model_fields)
KINDS = "a JSON, JSON lines, CSV, TSV or Parquet file, gzipped or not"
"""What files of cases can be, in words."""
_NAMED = 8
"""Columns that an error names."""
_GZIP = b"\x1f\x8b"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class _Row(NamedTuple):
    """One case as it stands in a file."""

    place: str
    """`line 3`, `row 3`."""
    fields: dict[str, Any]


class _AsWritten(float):
    """A number that remembers how it was written: 8.50 stays 8.50."""

    def __new__(cls, text: str) -> _AsWritten:
        made = super().__new__(cls, text)
        made.text = text
        return made

    text: str

    def __str__(self) -> str:
        return self.text


def parse_columns(text: str) -> dict[str, str]:
    """Read `prompt=question,answer=target`: for fields of a case the columns that hold them.

    Raises:
        InputError: it is not of this form, or a name before a = is no field.
    """
    found: dict[str, str] = {}
    for part in text.split(","):
        field, equals, column = (each.strip() for each in part.partition("="))
        if not (equals and column) or field in found:
            raise InputError(f"{text!r}: give it as prompt=question,answer=target")
        if field not in FIELDS:
            raise InputError(f"a case has no {field!r}; it has {', '.join(FIELDS)}")
        found[field] = column
    return found


def read_task_file(path: Path, columns: Mapping[str, str] | None = None) -> PromptSet:
    """Read cases with the fields of `Prompt`, whatever else stands beside them.

    Args:
        path: by its ending, without a `.gz`, a Parquet, CSV or TSV file, else JSON: an array of
            objects or one object a line.
        columns: for fields of a case the names they have in the file; the others have their own.

    Raises:
        InputError: the file cannot be read, or a case does not fit; names the line or row.
    """
    inner = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    names = {field: field for field in FIELDS} | dict(columns or {})
    try:
        rows = list(_rows(path, inner.suffix.lower(), names))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or "it is no whole gzip file"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
    if not rows:
        raise _no_cases(path)
    _check_names(path, names, {name: None for row in rows for name in row.fields})
    prompts = []
    for row in rows:
        try:
            prompts.append(as_prompt(**_named(row.fields, names)))
        except InputError as error:
            raise InputError(f"{path.name} {row.place}: {error}") from error
    return PromptSet(name=inner.stem, prompts=tuple(prompts))


def _no_cases(path: Path) -> InputError:
    return InputError(f"{path.name} holds no cases; an object a line or a row each is expected")


def _check_names(path: Path, names: Mapping[str, str], columns: Collection[str]) -> None:
    """Refuse a name for a field that nothing in the file has."""
    for ours, name in names.items():
        if name != ours and name not in columns:
            raise InputError(f"{path.name} has no column {name}; {_they_have(columns)}")


def _named(fields: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The fields of a case by our names; what is null is left out.

    Raises:
        InputError: nothing says what the model reads.
    """
    found = {ours: fields[name] for ours, name in names.items() if fields.get(name) is not None}
    if not {"prompt", "messages"} & set(found):
        raise InputError(f"prompt: Field required; {_they_have(fields)}")
    return found


def _they_have(columns: Collection[str]) -> str:
    named = ", ".join(list(columns)[:_NAMED]) + ", …" * (len(columns) > _NAMED)
    return f"it has {named or 'nothing'}; columns prompt=NAME,answer=NAME say which is which"


def _rows(path: Path, ending: str, names: Mapping[str, str]) -> Iterator[_Row]:
    """What the file holds, case by case."""
    with path.open("rb") as file:  # what the system has against it is said in its words
        packed = file.read(2) == _GZIP
    if ending in PARQUET:
        source = BytesIO(_unpacked(path)) if packed else path
        return _table_rows(_parquet(path, source, names))
    text = _decoded(path)
    if ending in SEPARATORS:
        return _table_rows(_csv(path, text, SEPARATORS[ending]))
    return _json_array(path, text) if text.lstrip()[:1] == "[" else _json_lines(path, text)


def _unpacked(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is a gzip file.

    Raises:
        InputError: they are too many.
    """
    with path.open("rb") as plain:
        packed = plain.peek(2)[:2] == _GZIP
        data = (gzip.GzipFile(fileobj=plain) if packed else plain).read(MAX_TEXT_BYTES + 1)
    if len(data) > MAX_TEXT_BYTES:
        raise _too_much(path)
    return data


def _too_much(path: Path) -> InputError:
    return InputError(f"{path.name} holds more than {MAX_TEXT_BYTES // 2**20} MiB of text")


def _decoded(path: Path) -> str:
    """The text of a file without its byte order mark."""
    data = _unpacked(path)
    encoding = "utf-16" if data.startswith(_UTF16) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reason = f"it is not UTF-8 text (line {line})"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error


def _json_lines(path: Path, text: str) -> Iterator[_Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            data = _json(path, line, number)
            if not isinstance(data, dict):
                raise InputError(
                    f'{path.name} line {number} is not an object like {{"prompt": "…"}}'
                )
            yield _Row(f"line {number}", data)


def _json_array(path: Path, text: str) -> Iterator[_Row]:
    for number, data in enumerate(_json(path, text, 1), start=1):
        if not isinstance(data, dict):
            raise InputError(f'{path.name} case {number} is not an object like {{"prompt": "…"}}')
        yield _Row(f"case {number}", data)


def _json(path: Path, text: str, first: int) -> Any:
    """What JSON text says that begins in a line of a file."""
    try:
        return json.loads(text, parse_float=_AsWritten)
    except json.JSONDecodeError as error:
        where = f"{path.name} line {first + error.lineno - 1}, column {error.colno}"
        raise InputError(f"{where}: this is not JSON ({error.msg})") from error
    except RecursionError as error:
        raise InputError(f"{path.name} line {first} is nested too deeply") from error
    except ValueError as error:
        raise InputError(f"{path.name} line {first} holds a number of too many digits") from error


def _table_rows(rows: pl.DataFrame) -> Iterator[_Row]:
    for number, fields in enumerate(rows.iter_rows(named=True), start=1):
        yield _Row(f"row {number}", fields)


def _csv(path: Path, text: str, separator: str) -> pl.DataFrame:
    """A table of texts, as they are written; an empty cell is null."""
    if not text.strip():
        raise _no_cases(path)
    try:
        lines = text.rstrip("\r\n").encode()
        table = pl.read_csv(lines, separator=separator, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        where = f"{path.name} line {_faulty_line(text, separator)}"
        reason = str(error).split("\n")[0]
        raise InputError(f"{where}: this is no row of the table ({reason})") from error
    return table.with_columns(pl.all().replace("", None))


def _faulty_line(text: str, separator: str) -> int:
    """The line of too many cells or of quotes that do not end, which Polars does not name."""
    rows = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = len(next(rows))
        next(row for row in rows if len(row) > columns)
    except (csv.Error, StopIteration):
        pass
    return rows.line_num


def _parquet(path: Path, source: Path | BytesIO, names: Mapping[str, str]) -> pl.DataFrame:
    """The columns of a Parquet file that make cases, if they have the right types and sizes."""
    try:
        scan = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        present = _present(path, names, scan.collect_schema())
        count = scan.select(pl.len()).collect().item()
        if count > MAX_CASES:
            raise InputError(f"{path.name} claims {count:,} cases; {MAX_CASES:,} at most are read")
        rows = scan.select(present).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = "it is no whole Parquet file"
        raise InputError(f"cannot read task file {path.name}: {reason}") from error
    if sum(map(_text_bytes, rows)) > MAX_TEXT_BYTES:
        raise _too_much(path)
    return rows


def _present(path: Path, names: Mapping[str, str], schema: pl.Schema) -> list[str]:
    """The columns that make cases.

    Raises:
        InputError: one is missing or of another type.
    """
    _check_names(path, names, schema)
    if names["prompt"] not in schema and names["messages"] not in schema:
        raise InputError(f"{path.name} has no column {names['prompt']}; {_they_have(schema)}")
    present = {ours: name for ours, name in names.items() if name in schema}
    for ours, name in present.items():
        if (wanted := _unlike(ours, schema[name])) is not None:
            raise InputError(f"{path.name}: its column {name} holds {schema[name]}, not {wanted}")
    return list(dict.fromkeys(present.values()))


def _unlike(field: str, dtype: pl.DataType) -> str | None:
    """What a column of a field should hold where it does not."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    written = inner in (pl.String, pl.Null) or inner.is_numeric()
    fits, wanted = {
        "prompt": (dtype in (pl.String, pl.Null), "String"),
        "answer": (written, "String or List(String)"),
        "wrong": (written, "String or List(String)"),
        "corrupt": (dtype in (pl.String, pl.Null), "String"),
        "group": (written and inner is dtype, "String"),
        "marks": (dtype in (pl.List(pl.String), pl.Null), "List(String)"),
        "messages": (isinstance(inner, pl.Struct), "List(Struct) with role and content"),
        "roles": (isinstance(dtype, pl.Struct), "Struct of texts"),
    }[field]
    return None if fits else wanted


def _text_bytes(values: pl.Series) -> int:
    """Bytes of the texts in a column, inside lists and structs too."""
    if isinstance(values.dtype, pl.List):
        return _text_bytes(values.explode())
    if isinstance(values.dtype, pl.Struct):
        return sum(_text_bytes(values.struct.field(each.name)) for each in values.dtype.fields)
    return int(values.str.len_bytes().sum()) if values.dtype == pl.String else 0
