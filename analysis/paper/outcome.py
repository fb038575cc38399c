"""What an experiment comes to: cells beside the paper's, and whether its claim held."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import polars as pl

from analysis.bootstrap import Estimate
from analysis.columns import Column, schema
from analysis.paper.scale import Scale
from analysis.step import Found, Step

Verdict: TypeAlias = Literal["held", "failed", "undecided"]


@dataclass(frozen=True)
class Cell:
    """One number of a table, measured, beside the paper's and its random control."""

    row: str
    column: str
    measured: Estimate | None = None
    control: Estimate | None = None
    paper: float | None = None
    paper_text: str | None = None
    """What the paper names there."""
    text: str | None = None
    """What is found there: names, tokens."""


@dataclass(frozen=True)
class Claim:
    """The sentence a table stands for in the paper, and what came of it here."""

    claim: str
    verdict: Verdict
    finding: str

    @classmethod
    def tested(cls, claim: str, held: bool, finding: str) -> Claim:
        """A claim that there were cases enough to decide on."""
        return cls(claim, "held" if held else "failed", finding)


@dataclass(frozen=True)
class Outcome:
    """A measured table."""

    cells: list[Cell]
    claim: Claim
    notes: list[str] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        """The cells as rows."""
        return pl.DataFrame([_row(cell) for cell in self.cells], schema=schema(CELLS))

    def facts(self) -> dict[str, Any]:
        """What is said of the table as a whole, as JSON values."""
        claim = self.claim
        return {
            "claim": claim.claim,
            "verdict": claim.verdict,
            "finding": claim.finding,
            "notes": self.notes,
        }


Experiment: TypeAlias = Callable[[Scale], Generator[Step, Found, Outcome]]
"""Yields the steps it needs, is sent what they found, and returns the table."""

CELLS = (
    Column("name", pl.String, "row and column of the table"),
    Column("row", pl.String, "what is measured"),
    Column("column", pl.String, "under which condition"),
    Column("paper", pl.Float64, "the paper's number", "as the title says"),
    Column("measured", pl.Float64, "the number found", "as the title says"),
    Column("low", pl.Float64, "lower end of its 95 % bootstrap interval over cases"),
    Column("high", pl.Float64, "upper end"),
    Column("control", pl.Float64, "the same with random heads or neurons of equal count"),
    Column("control_low", pl.Float64, "lower end of the control's interval"),
    Column("control_high", pl.Float64, "upper end"),
    Column("cases", pl.Int32, "how many cases it rests on"),
    Column("paper_text", pl.String, "what the paper names there"),
    Column("text", pl.String, "what is found there"),
)
"""The columns of a measured table."""


def told(tokens: Sequence[str] | None) -> str:
    """Tokens in a cell: joined by commas, without the spaces around them."""
    return ", ".join(token.strip() for token in tokens or ())


def percent(estimate: Estimate, decimals: int = 0) -> str:
    """A share in a sentence."""
    if estimate.value is None:
        return "?"
    return f"{estimate.value:.{decimals}f} %".replace("-", "−")


def _row(cell: Cell) -> dict[str, Any]:
    nothing = Estimate(None, None, None, 0)
    measured, control = cell.measured or nothing, cell.control or nothing
    return {
        "name": f"{cell.row} · {cell.column}",
        "row": cell.row,
        "column": cell.column,
        "paper": cell.paper,
        "measured": measured.value,
        "low": measured.low,
        "high": measured.high,
        "control": control.value,
        "control_low": control.low,
        "control_high": control.high,
        "cases": measured.cases,
        "paper_text": cell.paper_text,
        "text": cell.text,
    }
