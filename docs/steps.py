"""Writes docs/steps.md from the declarations of the steps: `make docs`."""

from __future__ import annotations

from pathlib import Path

from polars import List

import analysis.paper.table  # noqa: F401  (which makes all steps known)
from analysis.columns import Column
from analysis.folders import write_durably
from analysis.step import REGISTRY, Step
from screens.markdown import table

PAGE = Path(__file__).with_suffix(".md")
OPENING = """# Steps and their columns

Every analysis is a step, the same on a screen, on the command line, on disk and in a notebook.
A session keeps all columns; tables and `--json` leave the *details* out. `workbench KIND --help`
lists the parameters. This page is written from their declarations.
"""


def page() -> str:
    """All steps that are known, each with its columns."""
    return "\n".join([OPENING, *map(_section, REGISTRY.values())])


def _section(step: type[Step]) -> str:
    summary = (step.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
    order = "largest first" if step.descending else "smallest first"
    lines = [
        f"## {step.model_fields['kind'].default}",
        "",
        f"{summary} Rows are told apart by `{step.key}` and ranked by `{step.ranked_by}`, {order}.",
        "",
        table(
            ["column", "type", "unit", "meaning"],
            [_row(column) for column in step.columns],
            [False] * 4,
        ),
    ]
    return "\n".join(lines) + "\n"


def _row(column: Column) -> list[str]:
    dtype = column.dtype
    name = f"list of {dtype.inner}" if isinstance(dtype, List) else str(dtype)
    detail = " *(detail)*" if column.detail else ""
    return [f"`{column.name}`", name, column.unit, f"{column.meaning}{detail}"]


if __name__ == "__main__":
    write_durably(PAGE, page().encode())
