"""The rows of a step outside the workbench: as a document, as a file, as cells that people read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.columns import printed
from analysis.folders import named_aside
from screens.text import cell_fit, count, number, one_line, visible

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.step import Step
    from sessions import RecordedStep, Session

TOKENS_WIDTH = 52
"""Cells of a list of tokens in a table."""
_DECIMALS = {"coefficient": 2, "m": 2, "logit": 2}


def printed_baseline(baseline: dict[str, Any]) -> dict[str, Any]:
    """What belongs in a document; the values of single prompts stay in the session."""
    return {name: value for name, value in baseline.items() if not name.startswith("prompt_")}


def document(
    step: Step, model: ModelInfo, baseline: dict[str, Any], rows: pl.DataFrame, **where: str
) -> dict[str, Any]:
    """The one document of `--json`. Per-prompt details stay in the session."""
    return {
        "step": {**step.model_dump(mode="json"), **where},
        "model": model.model_dump(mode="json"),
        "baseline": printed_baseline(baseline),
        "rows": rows.select(printed(step.filled)).to_dicts(),
    }


def whole_document(session: Session, recorded: RecordedStep, rows: pl.DataFrame) -> dict[str, Any]:
    """The document that `--json` prints, with the details it leaves out."""
    where = {"session": session.name, "id": recorded.id, "state": recorded.state}
    return {
        "step": recorded.step.model_dump(mode="json") | where,
        "model": session.info.model.model_dump(mode="json"),
        "baseline": recorded.info.baseline,
        "rows": rows.to_dicts(),
    }


def export_rows(session: Session, recorded: RecordedStep, path: Path) -> None:
    """Write every row and every column of a step in their rank order, nothing rounded.

    In CSV a list is one cell that holds JSON.

    Raises:
        WorkbenchError: the system refused.
    """
    rows = recorded.step.ranked(recorded.rows())
    shown = with_json_lists(rows) if path.suffix.lower() == ".csv" else rows
    write_file(path, shown, whole_document(session, recorded, rows))


def write_file(path: Path, rows: pl.DataFrame, data: Any) -> None:
    """Write rows or their JSON document, as the file's ending says.

    Raises:
        WorkbenchError: the system refused.
    """
    with named_aside(path) as aside:
        if path.suffix.lower() == ".parquet":
            rows.write_parquet(aside)
        elif path.suffix.lower() == ".csv":
            rows.write_csv(aside)
        else:
            aside.write_text(json.dumps(data, ensure_ascii=False, indent=1) + "\n", "utf-8")


def with_json_lists(rows: pl.DataFrame) -> pl.DataFrame:
    """The same with lists as JSON, from which they come back as they were; no list is `null`."""
    lists = [name for name, dtype in rows.schema.items() if isinstance(dtype, pl.List)]
    texts = [
        pl.Series(name, [json.dumps(each, ensure_ascii=False) for each in cells], pl.String)
        for name, cells in ((name, rows[name].to_list()) for name in lists)
    ]
    return rows.with_columns(texts)


def cell(name: str, value: Any) -> str:
    """A value of a column as people read it, on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and abs(value) >= 100_000:  # no token or neuron has such a number
        return count(value)
    if isinstance(value, float):
        return number(value, _DECIMALS.get(name.partition("_")[0], 3))
    if isinstance(value, list):
        words = (each if isinstance(each, float) else visible(str(each)) for each in value)
        text = " ".join(number(each, 3) if isinstance(each, float) else each for each in words)
        return cell_fit(text, TOKENS_WIDTH).rstrip()
    if name in ("token", "reads"):
        return visible(str(value))
    return "·" if value is None else one_line(str(value))
