"""`workbench project`: what a vector says in the vocabulary."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
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
    *,
    run: Run,
) -> None:
    """Show the tokens a neuron, head, word or residual promotes and suppresses."""
    from analysis.steps import ProjectStep

    read_in = None if prompt is None else options.free_prompt(prompt, answer)
    step = ProjectStep(source=source, through=through, prompt=read_in, top=top)
    run.step(
        step,
        shown=["end", "rank", "token", "token_id", "logit"],
        reads=read_in,
    )
