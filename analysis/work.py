"""Work: what a method does on a model, asked for and not yet done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from analysis.columns import frame_of

Frames: TypeAlias = Callable[[Collection[str]], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class Work:
    """What a method will yield on a model, and the means to get it."""

    expected: int
    """Rows the frames hold together at the end: so many at most, where the numbers decide."""
    frames: Frames
    """Given the keys already on disk, yields a frame for each finished batch of the others.

    Closing the iterator cancels the work. The columns are the method's own; a step gives them the
    declared order and types.
    """
    baseline: dict[str, Any] = field(default_factory=dict)
    """What the rows are compared with (JSON values), known before the first of them."""
    estimates: pl.DataFrame | None = None
    """First-order values for every row, in any of its columns: shown until exact ones arrive."""
    memory: int = 0
    """Bytes the work is expected to take at its peak, beyond the model; 0 if nobody knows."""
    recall: Callable[[pl.DataFrame], None] | None = None
    """Of work whose later rows rest on earlier ones: takes, before the frames are asked for, the
    rows that an earlier run left."""
    place: Callable[[Path], None] | None = None
    """Of work that produces files: takes, before the frames are asked for, the folder they go to.

    Without a folder nothing is written: a step computed again to be compared leaves no files.
    """


def row_by_row(rows: Mapping[str, Callable[[], Mapping[str, Any]]]) -> Frames:
    """Frames of one row each.

    Args:
        rows: by the names of the rows what computes each, its name left out.
    """

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for name, compute in rows.items():
            if name not in done:
                yield frame_of([{"name": name, **compute()}])

    return frames
