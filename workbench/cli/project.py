"""`workbench project`: what a vector says in the vocabulary."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def project(
    source: Annotated[
        str,
        typer.Argument(
            help="L24N1493, L20H8, attention:13, word:three or residual:12.", show_default=False
        ),
    ],
    through: Annotated[
        str | None,
        typer.Option("--through", help="Attention layer or head to pass it through: 20, L20H8."),
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
    layer, head = _carrier(through)
    step = ProjectStep(source=source, through=layer, by=head, prompt=read_in, top=top)
    run.step(
        step,
        shown=COLUMNS["project"],
        reads=read_in,
    )


def _carrier(text: str | None) -> tuple[int | None, int | None]:
    """The layer of `--through`, and its head where one is named.

    Raises:
        InputError: it is neither.
    """
    from analysis.errors import InputError
    from analysis.refs import HeadRef

    if text is None:
        return None, None
    if text.isdecimal():
        return int(text), None
    try:
        head = HeadRef.parse(text)
    except InputError as error:
        raise InputError(f"--through {text}: write a layer or a head, as 20 or L20H8") from error
    return head.layer, head.index
