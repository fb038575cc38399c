"""Options of commands that train LoRA, each declared once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.changing.tuning import RATES, Tuning, parse_rates
from workbench.cli import options

if TYPE_CHECKING:
    from analysis.tasks.prompts import PromptSet

Rank = Annotated[int, typer.Option("--rank", min=1, help="Rank of the adapter's matrices.")]
Alpha = Annotated[
    int, typer.Option("--alpha", min=1, help="Its output is multiplied by alpha / rank.")
]
Rates = Annotated[
    str, typer.Option("--lr", help="Learning rates, all trained: validation cases choose.")
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, help="At most; the best of them counts.")]
Batch = Annotated[
    int, typer.Option("--batch", min=1, help="Cases between two steps of the optimizer.")
]
Test = Annotated[
    Path | None,
    typer.Option("--test", help="File of cases to test on; else a tenth of the cases."),
]
DEFAULT_RATES = ",".join(f"{rate:g}" for rate in RATES)
DEFAULTS = Tuning()


def tuning(rank: int, alpha: int, rates: str, epochs: int, batch: int) -> dict[str, Any]:
    """The parameters of a `Tuning`, which the step checks.

    Raises:
        InputError: a learning rate is no number.
    """
    with options.naming("--lr"):
        rated = parse_rates(rates)
    return {"rank": rank, "alpha": alpha, "rates": rated, "epochs": epochs, "batch": batch}


def test_set(path: Path | None, columns: str | None) -> PromptSet | None:
    """The cases of `--test`, whose columns have the names that those of `--task` have."""
    return None if path is None else options.task_file(path, columns)
