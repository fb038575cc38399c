"""Frames on disk: sealed Parquet files that are read only if every byte is as written."""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.columns import Column, Dtype
from analysis.folders import write_durably
from sessions.files import MAX_PART_BYTES, Unreadable, open_plain, read_plain

ESTIMATES_FILE = "estimates.parquet"
MAX_ROWS = 200_000_000
"""Of one step: a forged file can claim any number of rows in a few bytes."""

_PART = re.compile(r"part-(\d{5,9})\.parquet")
_SEAL = b"workbench-sha256:"
_BLANK = b"0" * 64
_SOURCE = "__part"
_END = b"PAR1"


@dataclass(frozen=True, order=True, slots=True)
class PartFile:
    """One file of rows; among rows of the same key those of the highest number count."""

    number: int
    path: Path


def part_path(folder: Path, number: int) -> Path:
    """Where part `number` of the step in `folder` is kept."""
    return folder / f"part-{number:05d}.parquet"


def list_parts(folder: Path) -> list[PartFile]:
    """Every part of the step in `folder` by number, readable or not."""
    with os.scandir(folder) as entries:
        return sorted(
            PartFile(int(match[1]), Path(entry.path))
            for entry in entries
            if (match := _PART.fullmatch(entry.name))
        )


def write_frame(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame durably as a sealed Parquet file.

    The seal is a hash of the whole file, kept in the file's own metadata. Parquet readers notice
    few flipped bits in the data; with the seal a damaged number is never taken for a measured one.

    Raises:
        WorkbenchError: the system refused.
    """
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"seal": (_SEAL + _BLANK).decode()})
    write_durably(path, _sealed(buffer.getvalue()))


def check_part(path: Path, columns: Iterable[Column]) -> None:
    """Make sure that a part can be read and holds the columns, but for those declared later.

    Raises:
        Unreadable: it cannot or does not.
    """
    _check_seal(path)
    with _reading():
        found = _scan([path]).collect_schema()
    for column in columns:
        name, dtype = column.name, column.dtype
        if name not in found and column.later:
            continue
        if name not in found:
            raise Unreadable(f"it has no column {name}")
        if found[name] != dtype:
            raise Unreadable(f"its column {name} holds {found[name]}, not {dtype}")


def read_estimates(path: Path) -> pl.DataFrame:
    """Read a sealed file of any columns.

    Raises:
        Unreadable: it is missing or damaged.
    """
    _check_seal(path)
    with _reading():
        return _scan([path]).collect()


def count_rows(part: PartFile) -> int | None:
    """The rows that a part's own metadata speaks of, unchecked; None if it cannot be read."""
    try:
        with open_plain(part.path) as file, _reading():
            return int(pl.scan_parquet(file).select(pl.len()).collect().item())
    except (Unreadable, OSError):
        return None


def looks_whole(folder: Path) -> bool:
    """Whether a step has parts, and none is cut short: Parquet has a mark at its end."""
    try:
        parts = list_parts(folder)
        return bool(parts) and all(_has_end(part.path) for part in parts)
    except (Unreadable, OSError):
        return False


def _has_end(path: Path) -> bool:
    with open_plain(path) as file:
        file.seek(-len(_END), os.SEEK_END)
        return file.read() == _END


def read_rows(
    parts: Sequence[PartFile], declared: Mapping[str, Dtype], columns: Sequence[str], key: str
) -> pl.DataFrame:
    """Columns of checked parts put together, rows of a later part in place of an earlier's.

    A column that a part lacks is null there: `check_part` lets only those pass that may be.

    All rows of a key come in one frame, hence in one part; so a key that a later part has again
    is dropped from the earlier parts as a whole.

    Raises:
        FileNotFoundError: a part has gone meanwhile, merged into another one.
        Unreadable: a part cannot be read.
    """
    wanted = list(dict.fromkeys([*columns, key]))
    paths = [part.path for part in parts]
    with _reading():
        scan = _scan(paths, {name: declared[name] for name in wanted}, _SOURCE)
        rows: int = scan.select(pl.len()).collect().item()
        if rows > MAX_ROWS:
            raise Unreadable(f"it claims {rows} rows")
        found = scan.collect()
    if len(parts) == 1:
        return found.select(columns)
    # The files come one after the other, so this numbers them from the first part on.
    number = pl.col(_SOURCE).rle_id()
    return found.with_columns(number).filter(_latest_of(key)).select(columns)


def _latest_of(key: str) -> pl.Expr:
    return pl.col(_SOURCE) == pl.col(_SOURCE).max().over(key)


def _scan(
    paths: list[Path],
    declared: Mapping[str, Dtype] | None = None,
    source: str | None = None,
) -> pl.LazyFrame:
    return pl.scan_parquet(
        # Each path is one file, whatever characters are in it.
        paths,
        glob=False,
        hive_partitioning=False,
        schema=declared,
        missing_columns="raise" if declared is None else "insert",
        extra_columns="raise" if declared is None else "ignore",
        include_file_paths=source,
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        lines = str(error).strip().splitlines()
        raise Unreadable(f"it is damaged ({lines[0] if lines else 'unknown reason'})") from error


def _sealed(data: bytes) -> bytes:
    start = data.rindex(_SEAL + _BLANK) + len(_SEAL)
    digest = hashlib.sha256(data).hexdigest().encode()
    return data[:start] + digest + data[start + len(digest) :]


def _check_seal(path: Path) -> None:
    data = read_plain(path, MAX_PART_BYTES)
    mark = data.rfind(_SEAL)
    if mark < 0:
        raise Unreadable("it is cut short or was not written by workbench")
    start, end = mark + len(_SEAL), mark + len(_SEAL) + len(_BLANK)
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(_BLANK)
    digest.update(memoryview(data)[end:])
    if data[start:end] != digest.hexdigest().encode():
        raise Unreadable("it is damaged (its bytes do not match their seal)")
