"""`workbench heads`: the head sweep."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options


def heads(
    prompt: options.PromptText = None,
    task: options.TaskName = None,
    answer: options.Answer = None,
    shots: options.Shots = 0,
    ops: options.Ops = None,
    mode: options.AblationMode = "zero",
    only: Annotated[
        str | None, typer.Option("--heads", help="Only these heads, as L20H8,L3N7.")
    ] = None,
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
    """Ablate every attention head in turn and measure the answers."""
    from analysis.refs import HeadRef
    from analysis.steps import HeadsStep
    from workbench.cli.steps import Destination, run_step

    prompts = options.prompt_set(prompt, answer, task, shots, ops)
    refs = None if only is None else tuple(HeadRef.parse(each) for each in only.split(","))
    step = HeadsStep(prompts=prompts, mode=options.ablation_mode(mode), heads=refs)
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["name", "accuracy", "logprob", "prob"],
        reads=prompts.prompts[0],
    )
