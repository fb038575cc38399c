"""The rows of a step outside the workbench: as a document, as a file, as cells that people read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.columns import printed
from analysis.folders import named_aside
from screens import markdown
from screens.text import cell_fit, count, number, one_line, visible

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.step import Step
    from screens.workspace import Result
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


def write_table(path: Path, rows: pl.DataFrame, title: str, results: Sequence[Result] = ()) -> None:
    """Write a table of the screen, nothing rounded but in Markdown, as the file's ending says.

    Args:
        path: ends in one of `TABLE_ENDINGS`.
        rows: the table.
        title: what it is, in words.
        results: what the rows come from; a JSON document says it.

    Raises:
        WorkbenchError: the system refused.
    """
    if path.suffix.lower() == ".md":
        page = f"# {markdown.text(title)}\n\n{as_markdown(rows)}\n"
        with named_aside(path) as aside:
            aside.write_text(page, "utf-8")
        return
    about = [
        {
            "step": each.step.model_dump(mode="json"),
            "model": None if each.model is None else each.model.model_dump(mode="json"),
            "baseline": each.baseline,
        }
        for each in results
    ]
    of = about[0] if len(about) == 1 else {"of": about} if about else {}
    ending = path.suffix.lower()
    data = of | {"rows": rows.to_dicts()} if ending == ".json" else None
    write_file(path, with_json_lists(rows) if ending == ".csv" else rows, data)


def as_markdown(rows: pl.DataFrame) -> str:
    """Rows as a table that people read."""
    cells = [
        [markdown.text(cell(name, value)) for name, value in row.items()] for row in rows.to_dicts()
    ]
    names = [markdown.text(name.replace("_", " ")) for name in rows.columns]
    return markdown.table(names, cells, [dtype.is_numeric() for dtype in rows.dtypes])


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
    if value is None:
        return "·"
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
    if name.endswith(("token", "reads")):
        return visible(str(value))
    return one_line(str(value))
