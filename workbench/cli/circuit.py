"""`workbench circuit`: the neurons a head drives, masked and kept, case by case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.shared import Run, runs_a_step

if TYPE_CHECKING:
    import polars as pl

SHOWN = [
    "top",
    "cases",
    "mask",
    "mask_random",
    "keep",
    "keep_random",
    "coefficient_decrease",
    "lowest_decrease",
]


@runs_a_step
def circuit(
    head: Annotated[str, typer.Option("--head", help="The head whose neurons are meant.")],
    prompt: options.PromptText = None,
    task: options.TaskName = None,
    answer: options.Answer = None,
    shots: options.Shots = 0,
    ops: options.Ops = None,
    cases: options.Cases = None,
    columns: options.Columns = None,
    tops: Annotated[
        str, typer.Option("--tops", help="Numbers of neurons to intervene on.")
    ] = "99,50,30,20,10",
    *,
    run: Run,
) -> None:
    """Mask the neurons a head drives, or keep only them, beside random ones."""
    from analysis.errors import InputError
    from analysis.steps import CircuitStep

    numbers = [each.strip() for each in tops.split(",")]
    if not all(each.isdecimal() for each in numbers):
        raise InputError(f"--tops {tops}: give numbers joined by commas, as 99,50,30")
    settings = run.settings
    step = CircuitStep.of(
        prompts=options.prompt_set(prompt, answer, task, shots, ops, cases, settings.seed, columns),
        head=head,
        tops=tuple(int(each) for each in numbers),
        seed=settings.seed,
    )
    run.step(step, shown=SHOWN, reads=step.prompts.prompts[0], view=by_number)


def by_number(rows: pl.DataFrame) -> pl.DataFrame:
    """Accuracy under each change and mean decreases, for each number of neurons."""
    import polars as pl

    changes = ("mask", "mask_random", "keep", "keep_random")
    return (
        rows.group_by("top")
        .agg(
            pl.len().alias("cases"),
            *(pl.col(f"{name}_correct").cast(pl.Float64).mean().alias(name) for name in changes),
            pl.col("coefficient_decrease", "lowest_decrease").mean(),
        )
        .sort("top", descending=True)
    )
