"""Options that several commands share, each declared once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Mode
from analysis.tasks.prompts import Prompt, PromptSet, unescaped
from analysis.tasks.standard import drawn, task
from analysis.tasks.task_files import parse_columns, read_task_file
from workbench.cli import completing

if TYPE_CHECKING:
    from workbench.settings import Settings

ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="Catalogue name, hub id, local folder or GGUF file.",
        metavar="MODEL",
        show_default=False,
        autocompletion=completing.models,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="float32, bfloat16 or float16.",
        show_default=False,
        autocompletion=completing.dtypes,
    ),
]
Bits = Annotated[
    int | None,
    typer.Option(
        "--bits",
        help="Round the weights to 8 or 4 bits on loading.",
        metavar="8|4",
        show_default=False,
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1 …", show_default=False)
]
Adapter = Annotated[
    Path | None, typer.Option("--adapter", help="Folder of a PEFT adapter the model wears.")
]
IgnoreUnused = Annotated[
    bool | None,
    typer.Option(
        "--ignore-unused",
        help="Go on without weights that the model's config has no place for.",
        show_default=False,
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random.")]
SessionName = Annotated[
    str | None,
    typer.Option(
        "--session",
        help="Session to record in: an existing one goes on.",
        autocompletion=completing.sessions,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Also write the rows to FILE.parquet, .csv or .json."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Change = Annotated[
    list[str] | None,
    typer.Option(
        "--change",
        help="Heads and neurons to scale in every run, as L20H8=0.5; zeroed without a factor. "
        "@FILE reads an exported mask. Can be repeated.",
        metavar="PARTS[=FACTOR]",
        show_default=False,
    ),
]
PromptText = Annotated[
    str | None,
    typer.Option("--prompt", help=r"The text to continue; \n is a line end, \\ a backslash."),
]
Answer = Annotated[
    str | None,
    typer.Option("--answer", help="The continuation to measure; else the top prediction."),
]
TaskName = Annotated[
    str | None,
    typer.Option(
        "--task",
        help="add, sub, mul or div with 1, 2 or 3 digits, as add2; gender; several joined by "
        "commas; or a JSON, JSONL, CSV, TSV or Parquet file.",
        autocompletion=completing.tasks,
    ),
]
Shots = Annotated[
    int, typer.Option("--shots", min=0, help="Worked examples before each case of a task.")
]
Cases = Annotated[
    int | None,
    typer.Option(
        "--cases", min=1, help="Draw so many cases of each task or of the file, by --seed."
    ),
]
Columns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="Names that fields have in the file, as prompt=question,answer=target.",
        metavar="FIELD=NAME,…",
        show_default=False,
    ),
]
Ops = Annotated[str | None, typer.Option("--ops", help="Only these groups, as +,-.")]
AblationMode = Annotated[
    str,
    typer.Option("--mode", help="Replace a head by zero or mean.", autocompletion=completing.modes),
]
Recorded = Annotated[
    str,
    typer.Argument(
        help="A session, or example:NAME.", show_default=False, autocompletion=completing.recorded
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, help="How many rows to find.")]
All = Annotated[bool, typer.Option("--all", help="Score every neuron instead of the top ones.")]


def settings(**flags: Any) -> Settings:
    """Settings in their order of precedence, the flags given first."""
    from workbench.settings import load_settings

    return load_settings(**flags)


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Say which option it was whose text cannot be read."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{option}: {error}") from error


def changes(texts: list[str] | None, option: str = "--change") -> Changes:
    """The changes of an option, those of a file where it is given as `@FILE`.

    Raises:
        InputError: one of them is no change.
    """
    from sessions.provenance import read_changes

    found = Changes()
    with naming(option):
        for text in texts or ():
            read = read_changes(Path(text[1:])) if text.startswith("@") else Changes.parse([text])
            found = found.merged(read.interventions)
    return found


def portable(path: Path) -> Path:
    """A path as records hold it: as it was typed, with ~ again where the shell put a home folder.

    Steps expand it. A record tells nobody whose machine it was made on.
    """
    home = Path.home()
    return Path("~") / path.relative_to(home) if path.is_relative_to(home) else path


def ablation_mode(text: str) -> Mode:
    """The mode of `--mode`.

    Raises:
        InputError: it is neither.
    """
    if text not in ("zero", "mean"):
        raise InputError(f"--mode {text}: choose zero or mean")
    return "mean" if text == "mean" else "zero"


def free_prompt(text: str | None, answer: str | None) -> Prompt:
    """The prompt of `--prompt` and `--answer`.

    Raises:
        InputError: there is none, or it is empty.
    """
    if text is None:
        raise InputError('no prompt; give one with --prompt "3 + 5 = "')
    return PromptSet.single(unescaped(text), None if answer is None else unescaped(answer)).prompts[
        0
    ]


def prompt_set(
    prompt: str | None,
    answer: str | None,
    task_name: str | None,
    shots: int,
    ops: str | None,
    cases: int | None = None,
    seed: int | None = None,
    columns: str | None = None,
) -> PromptSet:
    """The prompts of `--prompt` or `--task`.

    Of a file the cases are drawn among the groups of `--ops`, of a built-in task before.

    Raises:
        InputError: neither or both are given, or what is given cannot be used.
    """
    if (prompt is None) == (task_name is None):
        raise InputError("give either --prompt or --task")
    path = None if task_name is None else task_path(task_name)
    if columns is not None and path is None:
        raise InputError("--columns goes with a --task that is a file")
    if task_name is None:
        if cases is not None:
            raise InputError("--cases goes with --task")
        found = PromptSet(name="prompt", prompts=(free_prompt(prompt, answer),))
    elif answer is not None:
        raise InputError("--answer goes with --prompt; the cases of a task have their own")
    elif path is not None:
        found = _only_groups(task_file(path, columns), ops)
        return drawn(found, cases, settings(seed=seed).seed)
    else:
        found = task(task_name, shots, cases, settings(seed=seed).seed)
    return _only_groups(found, ops)


def task_path(name: str) -> Path | None:
    """The file that `--task` names; None: it is a built-in task."""
    path = Path(name)
    return path if path.suffix or path.exists() else None


def task_file(path: Path, columns: str | None = None) -> PromptSet:
    """Read a task file; what native code has to say of a damaged one goes to the log."""
    from workbench.logs import redirect_fd2
    from workbench.paths import log_file

    names = column_names(columns)
    with redirect_fd2(log_file()):
        return read_task_file(path, names)


def column_names(columns: str | None) -> dict[str, str] | None:
    """What `--columns` says.

    Raises:
        InputError: it cannot be read.
    """
    with naming("--columns"):
        return None if columns is None else parse_columns(columns)


def _only_groups(prompts: PromptSet, ops: str | None) -> PromptSet:
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
