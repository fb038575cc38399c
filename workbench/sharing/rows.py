"""The rows of a step as a file: every row and every column, nothing rounded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from analysis.folders import file_aside
from sessions import RecordedStep, Session
from workbench.sharing.destination import Format


def write_rows(session: Session, recorded: RecordedStep, path: Path, format: Format) -> None:
    """Write the rows of a step in their rank order.

    In CSV a list is one cell that holds JSON.

    Raises:
        WorkbenchError: the system refused.
    """
    rows = recorded.step.ranked(recorded.rows())
    with file_aside(path) as aside:
        if format == "parquet":
            rows.write_parquet(aside)
        elif format == "csv":
            with_json_lists(rows).write_csv(aside)
        else:
            document = _document(session, recorded, rows)
            aside.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")


def with_json_lists(rows: pl.DataFrame) -> pl.DataFrame:
    """The same with lists as JSON, from which they come back as they were; no list is `null`."""
    lists = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    texts = [
        pl.Series(name, [json.dumps(each, ensure_ascii=False) for each in cells], pl.String)
        for name, cells in ((name, rows[name].to_list()) for name in lists)
    ]
    return rows.with_columns(texts)


def _document(session: Session, recorded: RecordedStep, rows: pl.DataFrame) -> dict[str, Any]:
    """The document that `--json` prints, with the details it leaves out."""
    where = {"session": session.name, "id": recorded.id, "state": recorded.state}
    return {
        "step": recorded.step.model_dump(mode="json") | where,
        "model": session.info.model.model_dump(mode="json"),
        "baseline": recorded.info.baseline,
        "rows": rows.to_dicts(),
    }
