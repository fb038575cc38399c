"""The command tree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

import analysis.steps  # noqa: F401  (which makes its steps known)
from analysis.errors import InputError
from workbench import __version__
from workbench.cli import (
    bench,
    data,
    demo,
    doctor,
    edit,
    models,
    options,
    paper,
    replay,
    resume,
    run_plan,
    sessions,
)
from workbench.cli.step_commands import OnModel, on_a_model, step_commands
from workbench.health import home_short
from workbench.paths import config_file

COMMANDS: dict[str, Callable[..., None]] = {
    "paper": paper.paper,
    "edit": edit.edit,
    "export": models.export,
    "inspect": models.inspect,
    "run": run_plan.run_plan,
    "replay": replay.replay,
    "resume": resume.resume,
    "doctor": doctor.doctor,
    "bench": bench.bench,
    "demo": demo.demo,
}
"""The commands that are no step."""


def make_app(settings: str | None = None) -> typer.Typer:
    """The command tree, with a command for every step that is known now.

    Args:
        settings: where the user's settings are; None: where they are on this machine.
    """
    app = typer.Typer(
        name="workbench",
        help="Find out how a language model computes an answer, and change it.",
        epilog="Without a command: the terminal UI. Data goes to stdout, narration to stderr. "
        f"Settings: {settings or home_short(config_file())}.",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        no_args_is_help=False,
    )
    app.callback(invoke_without_command=True)(start)
    for name, command in {**step_commands(), **COMMANDS}.items():
        app.command(name)(command)
    for name, group in (("data", data.app), ("sessions", sessions.app), ("models", models.app)):
        app.add_typer(group, name=name)
    return app


@on_a_model()
def start(
    context: typer.Context,
    session: options.SessionName = None,
    readonly: Annotated[
        bool | None,
        typer.Option("--readonly", help="Refuse whatever changes or deletes something."),
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    *,
    on: OnModel,
) -> None:
    """Find out how a language model computes an answer, and change it."""
    given = on.flags | {"session": session, "readonly": readonly}
    misplaced = [
        f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None
    ]
    if version:
        print(__version__)
    elif context.invoked_subcommand is not None and misplaced:
        command = context.invoked_subcommand
        raise InputError(
            f"{misplaced[0]} goes behind the command: workbench {command} {misplaced[0]} …"
        )
    elif context.invoked_subcommand is None:
        from workbench.tui import open_live

        chosen = options.settings(**on.flags, readonly=readonly)
        open_live(chosen, session, model_given=on.model is not None)
