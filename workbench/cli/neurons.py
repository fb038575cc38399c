"""`workbench neurons`: importance of FFN neurons in one run."""

from __future__ import annotations

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step


@runs_a_step
def neurons(
    prompt: options.PromptText = None,
    answer: options.Answer = None,
    top: options.Top = 100,
    everything: options.All = False,
    *,
    run: Run,
) -> None:
    """Rank FFN neurons by the log-probability they add to the answer."""
    from analysis.steps import NeuronsStep

    step = NeuronsStep(prompt=options.free_prompt(prompt, answer), top=None if everything else top)
    run.step(
        step,
        shown=COLUMNS["neurons"],
        reads=step.prompt,
    )
