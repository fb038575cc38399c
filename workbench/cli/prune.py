"""`workbench prune`: the deep FFN cut down to the neurons that matter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli import tuning as tune
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def prune(
    from_layer: Annotated[
        int,
        typer.Option(
            "--from-layer", min=0, help="The lowest layer that is pruned.", show_default=False
        ),
    ],
    task: options.TaskName = None,
    shots: options.Shots = 0,
    cases: options.Cases = None,
    columns: options.Columns = None,
    ops: options.Ops = None,
    test: tune.Test = None,
    head: Annotated[
        str | None,
        typer.Option("--head", help="Neurons by CNA of the intact model against it zeroed."),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="Neurons by CNA of this adapter against the original."),
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="Neurons of each case.")] = 500,
    compare: Annotated[
        int | None,
        typer.Option("--compare", min=1, help="Find neurons on so many training cases at most."),
    ] = None,
    lora_layer: Annotated[
        int | None,
        typer.Option("--lora-layer", min=0, help="Train LoRA on this layer's attention on top."),
    ] = None,
    rank: tune.Rank = tune.DEFAULTS.rank,
    alpha: tune.Alpha = tune.DEFAULTS.alpha,
    lr: tune.Rates = tune.DEFAULT_RATES,
    epochs: tune.Epochs = tune.DEFAULTS.epochs,
    batch: tune.Batch = tune.DEFAULTS.batch,
    *,
    run: Run,
) -> None:
    """Zero the deep FFN neurons that no case needs, beside a random cut of equal size."""
    from analysis.refs import HeadRef
    from analysis.steps import PruneStep
    from workbench.exporting import check_allowed

    check_allowed(run.settings, "pruned")
    with options.naming("--head"):
        zeroed = None if head is None else HeadRef.parse(head)
    step = PruneStep.of(
        prompts=options.prompt_set(None, None, task, shots, ops, cases, run.seed, columns),
        head=zeroed,
        adapter=None if adapter is None else options.portable(adapter),
        top=top,
        from_layer=from_layer,
        cases=compare,
        layer=lora_layer,
        tuning=tune.tuning(rank, alpha, lr, epochs, batch),
        test=tune.test_set(test, columns),
        seed=run.settings.seed,
    )
    run.step(
        step,
        shown=[
            "name",
            "neurons",
            "kept",
            "accuracy",
            "train_accuracy",
            "logprob",
            "parameters",
            "seconds",
            "difference",
        ],
        view=step.finished,
    )
