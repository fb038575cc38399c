"""`workbench ablate`: sets of heads and neurons ablated together."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def ablate(
    sets: Annotated[
        list[str],
        typer.Argument(
            help="What to ablate together, as L20H8,L3N7; several sets give a row each.",
            metavar="PARTS …",
            show_default=False,
        ),
    ],
    prompt: options.PromptText = None,
    task: options.TaskName = None,
    answer: options.Answer = None,
    shots: options.Shots = 0,
    cases: options.Cases = None,
    columns: options.Columns = None,
    ops: options.Ops = None,
    mode: options.AblationMode = "zero",
    factor: Annotated[
        float, typer.Option("--factor", help="What to multiply the parts by; 0 takes them away.")
    ] = 0.0,
    *,
    run: Run,
) -> None:
    """Ablate heads and neurons together and measure the answers."""
    from analysis.interventions import Intervention
    from analysis.steps import AblateStep

    prompts = options.prompt_set(prompt, answer, task, shots, ops, cases, run.seed, columns)
    with options.naming("sets"):
        parts = tuple(Intervention.parse(each, factor) for each in sets)
    step = AblateStep.of(
        prompts=prompts,
        sets=parts,
        mode=options.ablation_mode(mode),
    )
    run.step(
        step,
        shown=COLUMNS["ablate"],
        reads=prompts.prompts[0],
    )
