"""The subcommands of steps, made of their declarations, and what all of them share."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from analysis.options import Given, Option
from analysis.step import REGISTRY, Step
from workbench.cli import options

if TYPE_CHECKING:
    from workbench.settings import Settings


StepOf = TypeVar("StepOf", bound=Step)
Command: TypeAlias = Callable[..., None]
Decorator: TypeAlias = Callable[[Command], Command]


@dataclass(frozen=True)
class OnModel:
    """Which model, and how it is loaded; what is not given is as the settings say."""

    model: options.ModelName = None
    dtype: options.Dtype = None
    bits: options.Bits = None
    device: options.Device = None
    adapter: options.Adapter = None
    ignore_unused: options.IgnoreUnused = None

    @property
    def flags(self) -> dict[str, Any]:
        """These options by their names."""
        return {each.name: getattr(self, each.name) for each in fields(OnModel)}

    @property
    def settings(self) -> Settings:
        """The settings with these options on top."""
        return options.settings(**self.flags)


@dataclass(frozen=True)
class Run(OnModel):
    """Which model a step runs on, how it is loaded, and where the rows go."""

    change: options.Change = None
    seed: options.Seed = None
    session: options.SessionName = None
    out: options.Out = None
    json: options.Json = False

    def step(self, step: Step, lines: int | None = None) -> None:
        """Run a step and print its rows, so many of them on a terminal or as many as it says."""
        from workbench.cli.steps import Destination, run_step

        to = Destination(self.session, self.out, self.json)
        run_step(self.changed(step), self.settings, to, lines)

    def changed(self, step: StepOf) -> StepOf:
        """A step on the variant that `--change` asks for."""
        found = options.changes(self.change)
        if not found:
            return step
        return step.model_copy(update={"changes": found.interventions})

    @property
    def flags(self) -> dict[str, Any]:
        """Those of the model by their names, and the seed."""
        return {**super().flags, "seed": self.seed}


def on_a_model(*without: str) -> Decorator:
    """Give a command the options of a model behind its own; it is called with them as `on`.

    Args:
        without: those that it does not take. One that it declares itself means what it says there.
    """
    return _taking((), "on", OnModel, without)


def runs_steps(*asks: Option) -> Decorator:
    """Give a command options of steps and those that all steps share, behind its own.

    The command is called with the first as `given` and the others as `run`. An option that it
    declares itself, or that a step has, means what is said there.

    Args:
        asks: the options of steps.
    """

    return _taking(asks, "run", Run)


def _taking(
    asks: Sequence[Option], called: str, make: type[OnModel], without: Collection[str] = ()
) -> Decorator:
    """Give a command options behind its own.

    Args:
        asks: options of steps; the command is called with what is given for them as `given`.
        called: as what the command is called with the others.
        make: holds these others, one a field.
        without: those of them that the command does not take.
    """

    def decorate(command: Command) -> Command:
        declared = inspect.signature(command, eval_str=True).parameters.values()
        own = [each for each in declared if each.name not in ("given", called)]
        asked = [options.parameter(each) for each in asks]
        left_out = {*without, *(each.name for each in (*own, *asked))}
        shared = [
            each.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for each in inspect.signature(make, eval_str=True).parameters.values()
            if each.name not in left_out
        ]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            made = make(**{each.name: values.pop(each.name) for each in shared})
            if asked:
                found = {each.name: values.pop(each.name) for each in asked}
                values["given"] = Given(options.opened(asks, found), made.settings.seed)
            command(**{called: made}, **values)

        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
        parameters += [*asked, *shared]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
        return wrapper

    return decorate


def step_commands() -> dict[str, Callable[..., None]]:
    """The subcommand of every step that is asked for by its kind."""
    return {
        kind: step_command(step)
        for kind, step in REGISTRY.items()
        if step.command and step.askable()
    }


def step_command(kind: type[Step]) -> Callable[..., None]:
    """The subcommand of a kind of steps."""

    @runs_steps(*kind.options())
    def command(*, given: Given, run: Run) -> None:
        from workbench.exporting import check_allowed

        if kind.does:
            check_allowed(run.settings, kind.does)
        lines = given["top"] if any(each.name == "top" for each in kind.also) else None
        for step in asked(kind, given):
            run.step(step, lines)

    command.__doc__ = kind.summary_line()
    return command


def asked(kind: type[StepOf], given: Given) -> Sequence[StepOf]:
    """The steps that options ask for.

    Raises:
        InputError: they make none.
    """
    with reading_files():
        return kind.asked(given)


@contextmanager
def reading_files() -> Iterator[None]:
    """What native code has to say of a damaged file goes to the log."""
    from workbench.logs import redirect_fd2
    from workbench.paths import log_file

    with redirect_fd2(log_file()):
        yield
