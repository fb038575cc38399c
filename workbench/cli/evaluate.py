"""`workbench evaluate`: what an edit does to its target, to a text, to other tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workbench.cli import options
from workbench.cli.columns import COLUMNS
from workbench.cli.shared import Run, runs_a_step

if TYPE_CHECKING:
    from analysis.changes import Changes
    from analysis.steps import EvaluateStep
    from analysis.tasks.pairs import PromptPair
    from analysis.tasks.prompts import PromptSet

AgainstTasks = Annotated[
    str | None,
    typer.Option(
        "--against-tasks", help="Tasks that should not suffer, as sub1,mul1.", metavar="TASKS"
    ),
]
TextFile = Annotated[
    Path | None,
    typer.Option("--text", help="Text for perplexity; else a page that comes with the program."),
]
Controls = Annotated[
    int, typer.Option("--controls", min=0, help="Random parts edited instead, so many draws.")
]


@runs_a_step
def evaluate(
    change: options.Change = None,
    prompt: options.PromptText = None,
    task: options.TaskName = None,
    answer: options.Answer = None,
    shots: options.Shots = 0,
    cases: options.Cases = None,
    columns: options.Columns = None,
    ops: options.Ops = None,
    against_tasks: AgainstTasks = None,
    text: TextFile = None,
    controls: Controls = 3,
    *,
    run: Run,
) -> None:
    """Measure the model before and after changes, beside random ones of equal count."""
    from analysis.errors import InputError

    edit = options.changes(change)
    if not edit:
        raise InputError("nothing is changed; name heads and neurons with --change L20H8")
    prompts = None
    if prompt is not None or task is not None:
        prompts = options.prompt_set(prompt, answer, task, shots, ops, cases, run.seed, columns)
    others = other_tasks(against_tasks, shots, cases, run.seed)
    step = evaluation(edit, prompts, None, others, text, controls, run.settings.seed)
    reads = prompts.prompts[0] if prompts is not None else None
    run.step(step, COLUMNS["evaluate"], reads, limit=100)


def other_tasks(
    names: str | None, shots: int, cases: int | None, seed: int | None
) -> tuple[PromptSet, ...]:
    """The tasks of `--against-tasks`; worked examples where the task takes them.

    Raises:
        InputError: one of them is no task.
    """
    from analysis.tasks.standard import ARITHMETIC

    wanted = [each.strip() for each in (names or "").split(",") if each.strip()]
    return tuple(
        options.prompt_set(None, None, each, shots if each in ARITHMETIC else 0, None, cases, seed)
        for each in wanted
    )


def evaluation(
    edit: Changes,
    prompts: PromptSet | None,
    pairs: tuple[PromptPair, ...] | None,
    others: tuple[PromptSet, ...],
    text: Path | None,
    controls: int,
    seed: int,
) -> EvaluateStep:
    """The step of an evaluation.

    Args:
        edit: what is changed.
        prompts: the target task.
        pairs: pairs whose gap is a target; None: those that the task is made of.
        others: tasks that should not suffer.
        text: a text file; None: the sample.
        controls: random draws.
        seed: theirs.

    Raises:
        InputError: they do not make a step.
    """
    from analysis.steps import EvaluateStep
    from analysis.tasks.pairs import pairs_in
    from analysis.tasks.texts import Text

    if pairs is None:
        pairs = () if prompts is None else pairs_in(prompts)
    return EvaluateStep.of(
        edit=edit.interventions,
        prompts=prompts,
        pairs=pairs,
        others=others,
        text=Text.sample() if text is None else Text.read(text),
        controls=controls,
        seed=seed,
    )
