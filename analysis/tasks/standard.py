"""The built-in tasks by the names that `--task` takes."""

from __future__ import annotations

from random import Random

from analysis.errors import InputError
from analysis.tasks.arithmetic import (
    DIGITS,
    MAX_SHOTS,
    OPERATIONS,
    Case,
    check_shots,
    evaluation,
    operand_pairs,
)
from analysis.tasks.contrasts import CONTRASTS, contrasting
from analysis.tasks.pairs import gender
from analysis.tasks.prompts import Prompt, PromptSet

__all__ = ["ARITHMETIC", "MAX_SHOTS", "ONE_DIGIT", "TASKS", "about", "drawn", "task"]

ONE_DIGIT = tuple(f"{name}1" for name in OPERATIONS)
ARITHMETIC = tuple(f"{name}{digits}" for digits in DIGITS for name in OPERATIONS)
"""Tasks that take worked examples."""
TASKS = (*ARITHMETIC, "gender", *CONTRASTS)
"""Names of the built-in tasks."""
CASES = 100
"""Of a task with more cases than anybody waits for."""

_EXAMPLES = {
    "add": ((2, 3), (7, 1), (4, 5), (1, 3), (6, 2), (3, 3), (5, 1), (2, 7)),
    "sub": ((8, 3), (9, 7), (5, 4), (6, 3), (7, 1), (4, 2), (9, 5), (3, 2)),
    "mul": ((2, 3), (7, 1), (4, 2), (1, 5), (3, 3), (1, 9), (2, 2), (6, 1)),
    "div": ((6, 2), (7, 1), (8, 4), (9, 3), (5, 5), (4, 1), (8, 2), (3, 1)),
}
"""Worked examples of the one-digit tasks, which are also cases: there are few."""


def task(name: str, shots: int = 0, cases: int | None = None, seed: int = 0) -> PromptSet:
    """The cases of a task, arithmetic in bare numerals behind worked examples of the same form.

    One-digit tasks hold every case, `gender` all 512; the others draw `CASES`, and their examples.

    Args:
        name: one of `TASKS`, or several joined by commas.
        shots: how many worked examples stand before each case, 0 to `MAX_SHOTS`.
        cases: how many to draw of each task instead.
        seed: the same one draws the same cases.

    Raises:
        InputError: no such task, or not so many examples or cases.
    """
    check_shots(shots)
    names = [part.strip() for part in name.split(",") if part.strip()]
    unknown = [part for part in names if part not in TASKS]
    if unknown or not names:
        raise InputError(
            f"unknown task {', '.join(unknown) or name!r}; known are {', '.join(TASKS)}, "
            "or give the path of a JSON, JSONL, CSV, TSV or Parquet file"
        )
    sets = [_task(part, shots, cases, seed) for part in names]
    return PromptSet(
        name=",".join(names),
        prompts=tuple(prompt for each in sets for prompt in each.prompts),
        only_fitting=any(each.only_fitting for each in sets),
    )


def about(name: str) -> str:
    """What the cases of a built-in task ask, in one sentence."""
    if name in CONTRASTS:
        return " ".join((CONTRASTS[name].__doc__ or "").split("\n\n")[0].split())
    if name not in ARITHMETIC:
        return "The profession of a woman or of a man."
    operation, digits = OPERATIONS[name[:-1]], name[-1]
    return f"The {operation.noun} of two numbers of up to {digits} digit{'s' * (digits > '1')}."


def drawn(prompts: PromptSet, cases: int | None, seed: int = 0) -> PromptSet:
    """So many cases of a set, drawn at random and kept in their order; None: all.

    Raises:
        InputError: it has not so many.
    """
    if cases is None:
        return prompts
    _check_cases(prompts.name, cases, len(prompts))
    places = sorted(Random(seed).sample(range(len(prompts)), cases))
    return prompts.model_copy(update={"prompts": tuple(prompts.prompts[each] for each in places)})


def _task(name: str, shots: int, cases: int | None, seed: int) -> PromptSet:
    if name not in ARITHMETIC:
        if shots:
            raise InputError(f"task {name} has no worked examples; leave --shots out")
        if name in CONTRASTS:
            return contrasting(name, CASES if cases is None else cases, seed)
        return drawn(gender(), cases, seed)
    operation, digits = name[:-1], int(name[-1])
    if digits == 1:
        return drawn(PromptSet(name=name, prompts=_one_digit(operation, shots)), cases, seed)
    count = CASES if cases is None else cases
    _check_cases(name, count, len(operand_pairs(OPERATIONS[operation], digits)) - shots)
    return evaluation(digits, count, shots, seed, (operation,), ("bare",), ("numerals",))


def _one_digit(name: str, shots: int) -> tuple[Prompt, ...]:
    operation = OPERATIONS[name]

    def case(pair: tuple[int, int], examples: str = "") -> Case:
        return Case(operation, 1, "bare", "numerals", *pair, examples)

    examples = "".join(case(pair).line for pair in _EXAMPLES[name][:shots])
    return tuple(case(pair, examples).prompt for pair in operand_pairs(operation, 1))


def _check_cases(name: str, cases: int, most: int) -> None:
    if not 1 <= cases <= most:
        raise InputError(f"--cases {cases}: {name} has {most:,}; choose 1 to {most}")
