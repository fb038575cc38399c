"""`workbench lora`: adapters on attention, trained, tested and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli import tuning as tune
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def lora(
    layers: Annotated[
        str,
        typer.Option("--layers", help="9, 3,9,20 or 0-29: one adapter each.", show_default=False),
    ],
    task: options.TaskName = None,
    shots: options.Shots = 0,
    cases: options.Cases = None,
    columns: options.Columns = None,
    ops: options.Ops = None,
    test: tune.Test = None,
    together: Annotated[
        bool, typer.Option("--together", help="One adapter on all the layers instead.")
    ] = False,
    rank: tune.Rank = tune.DEFAULTS.rank,
    alpha: tune.Alpha = tune.DEFAULTS.alpha,
    lr: tune.Rates = tune.DEFAULT_RATES,
    epochs: tune.Epochs = tune.DEFAULTS.epochs,
    batch: tune.Batch = tune.DEFAULTS.batch,
    compare: Annotated[
        int,
        typer.Option(
            "--compare",
            min=0,
            help="Measure on so many test cases how far the adapter raises neurons' coefficients.",
        ),
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Keep the adapters in DIR; else in the session.", metavar="DIR"),
    ] = None,
    *,
    run: Run,
) -> None:
    """Train LoRA on attention, layer by layer, and test each adapter beside the original."""
    from analysis.refs import parse_layers
    from analysis.steps import LoraStep
    from analysis.tasks.prompts import PromptSet
    from workbench.exporting import check_allowed

    check_allowed(run.settings, "trained")
    prompts = options.prompt_set(None, None, task, shots, ops, cases, run.seed, columns)
    with options.naming("--layers"):
        chosen_layers = parse_layers(layers)
    seed = run.settings.seed
    step = LoraStep.of(
        prompts=prompts,
        layers=chosen_layers,
        together=together,
        test=tune.test_set(test, columns),
        tuning=tune.tuning(rank, alpha, lr, epochs, batch),
        seed=seed,
        out=None if out is None else options.portable(out),
    )
    if compare:
        held_out = step.split.test[:compare]
        chosen = PromptSet(name=f"{prompts.name} test", prompts=held_out)
        step = step.model_copy(update={"compared": chosen})
    run.step(
        step,
        shown=[
            "name",
            "accuracy",
            "original_accuracy",
            "rate",
            "epoch",
            *(["increase_50", "increase_10"] if compare else []),
            "seconds",
            "adapter",
        ],
        view=LoraStep.finished,
    )
