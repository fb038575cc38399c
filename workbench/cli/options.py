"""Options that several commands share, each declared once, and those of steps as typer has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.changes import Changes
from analysis.options import CHANGE, Option, naming
from analysis.tasks.asking import SHOTS
from workbench.cli import completing

if TYPE_CHECKING:
    from workbench.settings import Settings


def parameter(option: Option) -> inspect.Parameter:
    """An option of a step as a parameter of a command, which typer reads."""
    kind: Any = list[str] if option.several else option.type
    shared: dict[str, Any] = {
        "help": option.help,
        "metavar": option.metavar,
        "min": option.least,
        "max": option.most,
        "show_default": not (option.required or option.default is None or option.type is bool),
        "autocompletion": completing.offering(option),
    }
    if option.argument:
        told: Any = typer.Argument(**shared)
    else:
        told = typer.Option(option.flag, **shared)
    if option.default is None:
        kind = kind | None
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else option.default,
        annotation=Annotated[kind, told],
    )


def typed(option: Option) -> Any:
    """What typer is told of an option of steps that a command of its own takes too."""
    return parameter(option).annotation.__metadata__[0]


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
Change = Annotated[list[str] | None, typed(CHANGE)]
Shots = Annotated[int, typed(SHOTS)]
Recorded = Annotated[
    str,
    typer.Argument(
        help="A session, or example:NAME.", show_default=False, autocompletion=completing.recorded
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, help="How many rows to find.")]


def settings(**flags: Any) -> Settings:
    """Settings in their order of precedence, the flags given first."""
    from workbench.settings import load_settings

    return load_settings(**flags)


def changes(texts: list[str] | None) -> Changes:
    """The changes of `--change`, those of a file where it is given as `@FILE`.

    Raises:
        InputError: one of them is no change.
    """
    from sessions.provenance import with_files

    with naming("--change"):
        return Changes.parse(with_files(texts or ()))


def opened(options: Iterable[Option], values: dict[str, Any]) -> dict[str, Any]:
    """Values of options, with what stands in the files of those that name changes.

    Raises:
        InputError: a file holds no changes.
    """
    from sessions.provenance import with_files

    found = dict(values)
    for option in options:
        if option.changes and found.get(option.name):
            with naming(option.flag):
                found[option.name] = with_files(found[option.name])
    return found
