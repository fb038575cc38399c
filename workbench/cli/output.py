"""Rows on stdout and in files: tables, JSON documents, Parquet, CSV."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.columns import printed
from analysis.errors import InputError
from analysis.folders import named_aside
from screens.text import cell_fit, lines, one_line
from workbench.sharing.rows import cell, write_file

if TYPE_CHECKING:
    from analysis.step import Step

FORMATS = (".parquet", ".csv", ".json")
WIDTH = 120
"""Columns where stdout is no terminal."""
SHOWN = 20
"""Rows of a table on the terminal; files and JSON hold all of them."""
NARROW = 12
"""Cells to which a column of texts may be cut."""
_AROUND = 3
"""Cells around a column's text: padding, and the line between columns."""


def check_out(path: Path | None, formats: tuple[str, ...] = FORMATS) -> None:
    """Refuse, before any work, a file that could not be written.

    Raises:
        InputError: its ending names no known format, or its folder is not there.
    """
    if path is None:
        return
    if path.suffix not in formats:
        raise InputError(f"--out {path.name}: end it in {', '.join(formats)}")
    if not path.parent.is_dir():
        raise InputError(f"--out: there is no folder {path.parent}")


def print_json(data: Any) -> None:
    """One JSON document on stdout."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


def write_rows(path: Path, step: Step, rows: pl.DataFrame, data: dict[str, Any]) -> None:
    """Write a step's rows in the format the file's ending names.

    Raises:
        WorkbenchError: the system refused.
    """
    write(path, rows.select(printed(step.filled)), data)


def write(path: Path, rows: pl.DataFrame, data: Any, page: str = "") -> None:
    """Write rows, their JSON document or their Markdown page, as the file's ending says.

    In CSV the values of a list stand in one cell with blanks between them.

    Raises:
        WorkbenchError: the system refused.
    """
    if path.suffix == ".md":
        with named_aside(path) as aside:
            aside.write_text(page, "utf-8")
        return
    lists = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    joined = [pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists]
    write_file(path, rows.with_columns(joined) if path.suffix == ".csv" else rows, data)


def print_line(text: str, style: str = "") -> None:
    """A line on stdout; data in it is neither markup nor obeyed."""
    Console(highlight=False).print(Text(lines(text), style=style), soft_wrap=True)


def print_table(
    rows: pl.DataFrame,
    title: str,
    columns: list[str],
    limit: int | None = SHOWN,
    elastic: tuple[str, ...] = (),
) -> None:
    """Some columns of the first rows as a table on stdout.

    Args:
        rows: the rows.
        title: the line above.
        columns: which to show, in order.
        limit: how many rows; None: all.
        elastic: columns that give way first where the terminal is narrow.
    """
    console = _stdout()
    shown = (rows if limit is None else rows.head(limit)).select(columns)
    cells = {name: [cell(name, each) for each in shown[name].to_list()] for name in columns}
    if not elastic:
        texts = [name for name in columns if _is_text(shown[name])]
        fitting = _fitting(cells, texts, console.width)
        left_out = [name for name in columns if name not in fitting]
        cells, shown = {name: cells[name] for name in fitting}, shown.select(fitting)
        elastic = tuple(name for name in fitting if name in texts)
    else:
        left_out = []
    widths = _widths(cells, elastic, console.width)
    table = Table(box=SIMPLE_HEAD)
    for name, dtype in shown.schema.items():
        justify: Literal["left", "right"] = "right" if dtype.is_numeric() else "left"
        table.add_column(name.replace("_", " "), justify=justify, no_wrap=True)
    for row in range(shown.height):
        line = (cells[name][row] for name in cells)
        table.add_row(
            *(
                Text(text if width is None else cell_fit(text, width))
                for text, width in zip(line, widths, strict=True)
            )
        )
    console.print()
    console.print(Text(one_line(title), style="bold"), soft_wrap=True)
    console.print(table)
    if rows.height > shown.height:
        console.print(Text(f"  … {rows.height - shown.height:,} more rows", style="dim"))
    if left_out:
        names = ", ".join(name.replace("_", " ") for name in left_out)
        console.print(Text(f"  no room for: {names}; --json has all", style="dim"), soft_wrap=True)


def _stdout() -> Console:
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    columns = os.environ.get("COLUMNS", "")
    given = int(columns) if columns.isdecimal() else 0
    return Console(highlight=False, width=given or WIDTH)


def width() -> int:
    """Columns of stdout."""
    return _stdout().width


def _is_text(values: pl.Series) -> bool:
    """Whether cells may be cut: part of a text says something, part of a number does not."""
    return not (values.dtype.is_numeric() or values.dtype == pl.Boolean)


def _fitting(cells: dict[str, list[str]], texts: list[str], terminal: int) -> list[str]:
    """The columns that a line has room for, in order; texts may be cut to `NARROW` cells."""
    fitting, left = [], terminal - 1
    for name, column in cells.items():
        needed = max(cell_len(text) for text in (name, *column)) + _AROUND
        least = min(needed, NARROW) if name in texts else needed
        if least <= left:
            fitting.append(name)
            left -= least
    return fitting


def _widths(
    cells: dict[str, list[str]], elastic: tuple[str, ...], terminal: int
) -> list[int | None]:
    """For each elastic column the cells it has; None for the others, which take what they need."""
    needed = {
        name: max(cell_len(text) for text in (name, *texts)) + _AROUND
        for name, texts in cells.items()
    }
    giving = [name for name in cells if name in elastic]
    left = terminal - 1 - sum(width for name, width in needed.items() if name not in giving)
    widths: dict[str, int] = {}
    for name in sorted(giving, key=needed.__getitem__):
        # The share of those that need less goes to the others.
        fair = left // (len(giving) - len(widths))
        mine = min(needed[name], max(NARROW, fair))
        widths[name], left = mine - _AROUND, left - mine
    return [widths.get(name) for name in cells]
