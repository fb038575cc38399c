"""`workbench cna`: Comparative Neuron Analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def cna(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    ablate: Annotated[
        list[str] | None,
        typer.Option(
            "--ablate",
            help="Heads and neurons the contrasting run is without, as L20H8,L3N7; scaled where a "
            "factor stands behind them. @FILE reads an exported mask. Can be repeated.",
            metavar="PARTS[=FACTOR]",
            show_default=False,
        ),
    ] = None,
    against: Annotated[str | None, typer.Option("--against", help="Another prompt.")] = None,
    adapter: Annotated[
        Path | None,
        typer.Option("--adapter", help="A PEFT adapter folder, against the model without it."),
    ] = None,
    top: options.Top = 100,
    everything: options.All = False,
    *,
    run: Run,
) -> None:
    """Find the neurons in which two runs differ most."""
    from analysis.errors import InputError
    from analysis.steps import CnaStep

    if sum(bool(each) for each in (ablate, against is not None, adapter)) != 1:
        raise InputError(
            "give one contrast: --ablate L20H8,L3N7, --against PROMPT or --adapter DIR"
        )
    step = CnaStep.of(
        prompt=options.free_prompt(prompt, answer),
        ablate=options.changes(ablate, "--ablate").interventions if ablate else None,
        against=None if against is None else options.free_prompt(against, None),
        adapter=None if adapter is None else options.portable(adapter),
        top=None if everything else top,
    )
    run.step(
        step,
        shown=COLUMNS["cna"],
        reads=step.prompt,
    )
