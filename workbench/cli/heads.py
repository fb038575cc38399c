"""`workbench heads`: the head sweep."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def heads(
    prompt: options.PromptText = None,
    task: options.TaskName = None,
    answer: options.Answer = None,
    shots: options.Shots = 0,
    cases: options.Cases = None,
    columns: options.Columns = None,
    ops: options.Ops = None,
    mode: options.AblationMode = "zero",
    only: Annotated[
        str | None, typer.Option("--heads", help="Only these heads, as L20H8,L3N7.")
    ] = None,
    *,
    run: Run,
) -> None:
    """Ablate every attention head in turn and measure the answers."""
    from analysis.refs import HeadRef
    from analysis.steps import HeadsStep

    prompts = options.prompt_set(prompt, answer, task, shots, ops, cases, run.seed, columns)
    with options.naming("--heads"):
        refs = None if only is None else tuple(HeadRef.parse(each) for each in only.split(","))
    step = HeadsStep(prompts=prompts, mode=options.ablation_mode(mode), heads=refs)
    run.step(
        step,
        shown=COLUMNS["heads"],
        reads=prompts.prompts[0],
    )
