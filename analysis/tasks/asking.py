"""Prompts and tasks as they are asked for in words: by a text, a task's name, or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from analysis.errors import InputError
from analysis.options import Given, Option, Typed, naming
from analysis.tasks.prompts import Prompt, PromptSet, unescaped
from analysis.tasks.standard import TASKS, drawn, task
from analysis.tasks.strips import NO_CORRUPT
from analysis.tasks.task_files import parse_columns, read_task_file

PROMPT_TEXT = Option("prompt", r"The text to continue; \n is a line end, \\ a backslash.")
ANSWER = Option(
    "answer",
    "The continuation to measure; else the top prediction. Can be repeated: any of them counts.",
    several=True,
)
CORRUPT = Option("corrupt", "The prompt to compare with, of as many tokens.")
WRONG = Option(
    "wrong", "What the answer's logit is measured against. Can be repeated.", several=True
)
TASK = Option(
    "task",
    "add, sub, mul or div with 1, 2 or 3 digits, as add2; gender, ioi, facts … (data list); "
    "several joined by commas; or a JSON, JSONL, CSV, TSV or Parquet file.",
    file=True,
    names=lambda: TASKS,
    listed=True,
)
SHOTS = Option("shots", "Worked examples before each case of a task.", int, 0, least=0)
CASES = Option("cases", "Draw so many cases of each task or of the file, by --seed.", int, least=1)
COLUMNS = Option(
    "columns",
    "Names that fields have in the file, as prompt=question,answer=target.",
    metavar="FIELD=NAME,…",
)
OPS = Option("ops", "Only these groups, as +,-.")
TEST = Option("test", "File of cases to test on; else a tenth of the cases.", Path, file=True)
OF_A_TASK = (TASK, SHOTS, CASES, COLUMNS, OPS)


def read_prompt(given: Given, name: str = "prompt") -> Prompt:
    """The prompt that was given, with its answer.

    Raises:
        InputError: there is none, or it is empty.
    """
    text = given[name]
    if text is None:
        raise InputError('no prompt; give one with --prompt "3 + 5 = "')
    if name != "prompt":
        return PromptSet.single(unescaped(text)).prompts[0]
    answers, corrupt, wrong = (given.values.get(each) for each in ("answer", "corrupt", "wrong"))
    typed = [unescaped(each) for each in answers or ()]
    return PromptSet.single(
        unescaped(text),
        typed if len(typed) > 1 else next(iter(typed), None),
        corrupt=None if corrupt is None else unescaped(corrupt),
        wrong=[unescaped(each) for each in wrong] if wrong else None,
    ).prompts[0]


def read_prompts(given: Given) -> PromptSet:
    """The prompts of `--prompt` or `--task`.

    Raises:
        InputError: neither or both are given, or what is given cannot be used.
    """
    prompt = given.values.get("prompt")
    if (prompt is None) == (given["task"] is None):
        raise InputError("give either --prompt or --task")
    for option in (ANSWER, CORRUPT, WRONG) if prompt is None else ():
        if given.values.get(option.name) not in (None, []):
            raise InputError(
                f"{option.flag} goes with --prompt; the cases of a task have their own"
            )
    if prompt is None:
        return read_task(given, given["task"])
    if given["columns"] is not None:
        raise InputError("--columns goes with a --task that is a file")
    if given["cases"] is not None:
        raise InputError("--cases goes with --task")
    found = PromptSet(name="prompt", prompts=(read_prompt(given),))
    return _only_groups(found, given["ops"])


def read_task(given: Given, name: str) -> PromptSet:
    """The cases of one task or file, drawn as was asked.

    Of a file the cases are drawn among the groups of `--ops`, of a built-in task before.

    Raises:
        InputError: there is no such task, or it cannot be drawn so.
    """
    path = task_path(name)
    if path is not None:
        found = _only_groups(task_file(path, given["columns"]), given["ops"])
        return drawn(found, given["cases"], given.seed)
    if given["columns"] is not None:
        raise InputError("--columns goes with a --task that is a file")
    return _only_groups(task(name, given["shots"], given["cases"], given.seed), given["ops"])


def read_pairs(given: Given) -> PromptSet:
    """The prompts of `--prompt` or `--task`, each with a corrupt one.

    Raises:
        InputError: one has none, or what is given cannot be used.
    """
    found = read_prompts(given)
    for number, prompt in enumerate(found.prompts, start=1):
        if prompt.corrupt is None:
            where = f"case {number} of {found.name}: " if given["task"] is not None else ""
            raise InputError(where + NO_CORRUPT)
    return found


def read_some_prompts(given: Given) -> PromptSet | None:
    """The prompts of `--prompt` or `--task`, if either is given."""
    asked = given.values.get("prompt") is not None or given["task"] is not None
    return read_prompts(given) if asked else None


def read_test(given: Given) -> PromptSet | None:
    """The cases of `--test`, whose columns have the names that those of `--task` have."""
    path = given["test"]
    return None if path is None else task_file(path, given["columns"])


ONE_PROMPT = Typed((PROMPT_TEXT, ANSWER), read_prompt)
PROMPTS = Typed((PROMPT_TEXT, TASK, ANSWER, WRONG, CORRUPT, *OF_A_TASK[1:]), read_prompts)
PAIRS_OF_PROMPTS = Typed((PROMPT_TEXT, CORRUPT, ANSWER, WRONG, *OF_A_TASK), read_pairs)
CASES_OF_A_TASK = Typed(OF_A_TASK, read_prompts)
SOME_PROMPTS = Typed(PROMPTS.options, read_some_prompts)
CASES_TO_TEST = Typed((TEST, COLUMNS), read_test)


def task_path(name: str) -> Path | None:
    """The file that `--task` names; None: it is a built-in task."""
    path = Path(name)
    return path if path.suffix or path.exists() else None


def task_file(path: Path, columns: str | None = None) -> PromptSet:
    """Read a task file whose columns have the names that `--columns` gives."""
    return read_task_file(path, column_names(columns))


def column_names(columns: str | None) -> dict[str, str] | None:
    """What `--columns` says.

    Raises:
        InputError: it cannot be read.
    """
    with naming("--columns"):
        return None if columns is None else parse_columns(columns)


def _only_groups(prompts: PromptSet, ops: Any) -> PromptSet:
    if ops is None:
        return prompts
    wanted = [each.strip() for each in ops.split(",") if each.strip()]
    missing = [each for each in wanted if each not in prompts.groups]
    if missing or not wanted:
        present = ", ".join(prompts.groups)
        raise InputError(f"--ops {ops}: no such group in {prompts.name}; it has {present}")
    return prompts.model_copy(
        update={"prompts": tuple(each for each in prompts.prompts if each.group in wanted)}
    )
