"""`workbench ablate`: sets of heads and neurons ablated together."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options


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
    ops: options.Ops = None,
    mode: options.AblationMode = "zero",
    factor: Annotated[
        float, typer.Option("--factor", help="What to multiply the parts by; 0 takes them away.")
    ] = 0.0,
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    bits: options.Bits = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    seed: options.Seed = None,
    session: options.SessionName = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Ablate heads and neurons together and measure the answers."""
    from analysis.interventions import Intervention
    from analysis.steps import AblateStep
    from workbench.cli.steps import Destination, run_step

    prompts = options.prompt_set(prompt, answer, task, shots, ops)
    step = AblateStep.of(
        prompts=prompts,
        sets=tuple(Intervention.parse(each, factor) for each in sets),
        mode=options.ablation_mode(mode),
    )
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["name", "heads", "neurons", "accuracy", "logprob", "prob"],
        reads=prompts.prompts[0],
    )
