"""Results in words, for screens and for the command line: spellings of answers, paper tables."""

from __future__ import annotations

from typing import Any

import polars as pl

from analysis.paper.table import TableStep
from analysis.shapes import Shape, shape_of
from analysis.step import Step
from analysis.tasks.answers import CHECKED, Spelling, Standing
from analysis.tasks.prompts import Prompt, PromptSet
from screens import markdown as md
from screens.text import count, number, one_line, visible

_ROWS: dict[Shape, str] = {"heads": "heads", "neurons": "neurons", "curve": "layers"}
"""What the rows of a step are, by its shape."""
_COUNTED = {"edges": "edges", "faithfulness": "shares"}
"""What the rows of steps are that people count otherwise."""
_CALLED = {"heads": "sweep", "cna": "CNA", "neurons": "importance"}
"""Kinds of steps that people call otherwise."""
VERDICTS = {"held": "✓ held", "failed": "✗ failed", "undecided": "? undecided"}
"""A claim's verdict with a mark that needs no colour."""
_DECIMALS = {"nats": 2, "coefficient": 2, "nats, coefficient": 2, "probability": 3, "concepts": 0}


WORDED = dict.fromkeys(
    (
        "name",
        "row",
        "column",
        "paper",
        "measured",
        "interval",
        "control",
        "control_interval",
        "cases",
        "paper_text",
        "found",
    ),
    pl.String,
)


def worded(step: TableStep, rows: pl.DataFrame) -> pl.DataFrame:
    """A table's cells as text, one row each, with the columns of `WORDED`."""
    decimals = _DECIMALS.get(step.declared.unit, 1)
    return pl.DataFrame([_words(row, decimals) for row in rows.to_dicts()], schema=WORDED)


def printable(step: TableStep, rows: pl.DataFrame, narrow: bool = False) -> pl.DataFrame:
    """The same for paper: a number with its interval in one column, empty columns left out.

    Where it is narrow, what the numbers rest on is left out too.
    """
    words = worded(step, rows)
    pairs = [("paper", "paper_text"), ("measured", "interval")]
    if not narrow:
        pairs.append(("control", "control_interval"))
    joined = [
        pl.concat_str(*pair, separator=" ").str.strip_chars().alias(pair[0]) for pair in pairs
    ]
    table = words.with_columns(joined).select(
        "row", "column", "paper", "measured", "control", "cases", "found"
    )
    left_out = {"cases"} if narrow else set()
    return table.select(name for name in table.columns if any(table[name]) and name not in left_out)


def _words(row: dict[str, Any], decimals: int) -> dict[str, str]:
    measured = row["measured"]
    if measured is not None and row["low"] is None and float(measured).is_integer():
        decimals = 0  # a count
    return {
        "name": row["name"],
        "row": one_line(row["row"]),
        "column": one_line(row["column"]),
        "paper": _figure(row["paper"], decimals),
        "measured": _figure(measured, decimals),
        "interval": _interval(row["low"], row["high"], decimals),
        "control": _figure(row["control"], decimals),
        "control_interval": _interval(row["control_low"], row["control_high"], decimals),
        "cases": count(row["cases"]) if row["cases"] else "",
        "paper_text": one_line(row["paper_text"] or ""),
        "found": visible(row["text"], quote=False) if row["text"] else "",
    }


def _interval(low: float | None, high: float | None, decimals: int) -> str:
    """The ends of an interval, as `(30.6…58.3)`."""
    if low is None or high is None:
        return ""
    return f"({_figure(low, decimals)}…{_figure(high, decimals)})"


def _figure(value: float | None, decimals: int) -> str:
    if value is None:
        return ""
    return number(value, decimals)


def verdict(baseline: dict[str, Any]) -> str:
    """A claim's verdict, empty if there is none."""
    return VERDICTS.get(str(baseline.get("verdict", "")), "")


def markdown(step: TableStep, rows: pl.DataFrame, baseline: dict[str, Any]) -> str:
    """A measured table as a section of a Markdown page."""
    declared = step.declared
    shown = printable(step, rows)
    cells = [[md.text(cell) for cell in row] for row in shown.iter_rows()]
    lines = [
        f"## {step.table} · {declared.title}",
        "",
        f"In {declared.unit}; the paper's numbers are of {declared.model}. "
        "Intervals: 95 %, bootstrap over cases.",
        "",
        f"Claim: {baseline['claim']}.  ",
        f"**{verdict(baseline)}**: {md.text(baseline['finding'])}",
        "",
        md.table(shown.columns, cells, [False] * shown.width),
        "",
        *(f"- {md.text(note)}" for note in baseline.get("notes", ())),
    ]
    return "\n".join(lines).rstrip() + "\n"


def rather(prompt: Prompt, found: Standing) -> str:
    """What the model says rather than the answer of a case; empty where it does not."""
    if found.rather is None:
        return ""
    shorter = found.rather.prompt != prompt.prompt
    begins = "the prompt ends with a space; without it the model" if shorter else "the model"
    return f"{begins} says {_said(found.rather)} rather than {_said(found)}"


def of_set(found: dict[int, Standing], prompts: PromptSet) -> str:
    """How many cases of a set, of those that were looked at, the model spells otherwise."""
    number, first = next(iter(found.items()))
    cases = len(prompts)
    of = f"the first {CHECKED:,}" if cases > CHECKED else f"{cases:,}"
    return (
        f"in {len(found):,} of {of} cases the model says another spelling than the answer, "
        f"first in case {number}: {rather(prompts.prompts[number - 1], first)}"
    )


def _said(spelling: Spelling | Standing) -> str:
    return f"{visible(spelling.answer)} (P = {spelling.prob:.3g})"


def called_kind(step: Step) -> str:
    """What people call steps of that kind."""
    return _CALLED.get(step.kind, step.kind.replace("_", " "))


def how_far(step: Step, state: str, done: int, expected: int) -> str:
    """How far a step came that is not done: `sweep stopped at 120 of 270 heads`."""
    rows = _COUNTED.get(step.kind) or _ROWS.get(shape_of(step.columns), "rows")
    return f"{called_kind(step)} {state} at {count(done)} of {count(expected)} {rows}"
