"""`workbench project`: what a vector says in the vocabulary."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options


def project(
    source: Annotated[
        str, typer.Argument(help="L24N1493, L20H8, word:three or residual:12.", show_default=False)
    ],
    through: Annotated[
        int | None, typer.Option("--through", min=0, help="Attention layer to pass it through.")
    ] = None,
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    top: options.Top = 20,
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
    """Show the tokens a neuron, head, word or residual promotes and suppresses."""
    from analysis.steps import ProjectStep
    from workbench.cli.steps import Destination, run_step

    read_in = None if prompt is None else options.free_prompt(prompt, answer)
    step = ProjectStep(source=source, through=through, prompt=read_in, top=top)
    run_step(
        step,
        options.settings(
            model=model, dtype=dtype, bits=bits, device=device, adapter=adapter, seed=seed
        ),
        Destination(session, out, json),
        shown=["end", "rank", "token", "token_id", "logit"],
        reads=read_in,
    )
