"""Declared columns: what a step's frames hold, in which unit, and what it means."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl

from analysis.errors import WorkbenchError

Dtype: TypeAlias = pl.DataType | type[pl.DataType]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a step's frames."""

    name: str
    dtype: Dtype
    meaning: str
    unit: str = ""
    detail: bool = False
    """Kept on disk for later analysis (per-prompt lists), left out of tables and JSON."""
    wide: bool = False
    """In files and JSON, but left out of tables, which have no room for it."""
    repeats: bool = True
    """Whether computing a row again gives the same; not so for the time it took."""
    later: bool = False
    """Sessions recorded before it was declared lack it; there it is null."""


NAME = Column("name", pl.String, "the neuron")
LAYER = Column("layer", pl.Int32, "its layer")
NEURON = Column("neuron", pl.Int32, "its index in the layer")
CONTROL_NOTE = Column(
    "control_note",
    pl.String,
    "that some random parts are of nearby layers, or why there is no control",
    detail=True,
    later=True,
)
"""What a row says of its random control (`analysis.controls`) that is not of the same layers."""


def schema(columns: Iterable[Column]) -> pl.Schema:
    """The Polars schema of frames with these columns."""
    return pl.Schema({column.name: column.dtype for column in columns})


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a frame; a row may lack columns that a later one has."""
    return pl.DataFrame(list(rows), infer_schema_length=None)


def fitted(
    frame: pl.DataFrame, columns: Collection[Column], needed: Collection[str] = ()
) -> pl.DataFrame:
    """A frame with the declared columns, in their order and types; those it lacks are null.

    Raises:
        WorkbenchError: it lacks a column that is needed, or has one that is not declared.
    """
    declared = schema(columns)
    for name in needed:
        if name not in frame.columns:
            raise WorkbenchError(f"a frame has no column {name}; it has {', '.join(frame.columns)}")
    for name in frame.columns:
        if name not in declared:
            raise WorkbenchError(f"a frame has a column {name}, which its step does not declare")
    lacking = [pl.lit(None, declared[name]).alias(name) for name in declared.keys() - frame.columns]
    return ordered(frame.with_columns(lacking), columns)


def ordered(frame: pl.DataFrame, columns: Iterable[Column]) -> pl.DataFrame:
    """The declared columns of a frame in their order and types, then its others."""
    there = schema(column for column in columns if column.name in frame.columns)
    return frame.cast(there).select(*there, pl.exclude(*there))


def printed(columns: Iterable[Column]) -> list[str]:
    """Names of the columns that belong in a JSON document or a file."""
    return [column.name for column in columns if not column.detail]


def tabled(columns: Iterable[Column]) -> list[str]:
    """Names of those that belong in a table on a terminal."""
    return [column.name for column in columns if not (column.detail or column.wide)]
