"""`workbench gains` and `workbench lens`: a run layer by layer."""

from __future__ import annotations

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def gains(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    *,
    run: Run,
) -> None:
    """Show what the attention and the FFN of each layer add to the answer."""
    from analysis.steps import GainsStep

    step = GainsStep(prompt=options.free_prompt(prompt, answer))
    run.step(
        step,
        shown=COLUMNS["gains"],
        reads=step.prompt,
    )


@runs_a_step
def lens(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    *,
    run: Run,
) -> None:
    """Show what every layer would say at every position (logit lens)."""
    from analysis.steps import LensStep

    step = LensStep(prompt=options.free_prompt(prompt, answer))
    run.step(
        step,
        shown=COLUMNS["lens"],
        reads=step.prompt,
    )
