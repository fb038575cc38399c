"""The options that all commands of analyses share, declared once and handed over as one object."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.cli import options
from workbench.cli.output import SHOWN

if TYPE_CHECKING:
    from analysis.step import Step
    from analysis.tasks.prompts import Prompt
    from workbench.cli.steps import View
    from workbench.settings import Settings


StepOf = TypeVar("StepOf", bound="Step")
RunT = TypeVar("RunT", bound="Run")


@dataclass(frozen=True)
class Run:
    """Which model a step runs on, how it is loaded, and where the rows go."""

    model: options.ModelName = None
    dtype: options.Dtype = None
    bits: options.Bits = None
    device: options.Device = None
    adapter: options.Adapter = None
    ignore_unused: options.IgnoreUnused = None
    change: options.Change = None
    seed: options.Seed = None
    session: options.SessionName = None
    out: options.Out = None
    json: options.Json = False

    def step(
        self,
        step: Step,
        shown: list[str],
        reads: Prompt | None = None,
        limit: int = SHOWN,
        view: View | None = None,
    ) -> None:
        """Run a step and print its rows.

        Args:
            step: what to run.
            shown: columns of the table on the terminal.
            reads: a prompt whose token strip is shown first.
            limit: rows of that table.
            view: what makes the rows of that table; None: they are shown as they are.
        """
        from workbench.cli.steps import Destination, run_step

        to = Destination(self.session, self.out, self.json)
        run_step(self.changed(step), self.settings, to, shown, reads, limit, view)

    def changed(self, step: StepOf) -> StepOf:
        """A step on the variant that `--change` asks for."""
        found = options.changes(self.change)
        if not found:
            return step
        return step.model_copy(update={"changes": found.interventions})

    @property
    def settings(self) -> Settings:
        """The settings with these options on top."""
        return options.settings(
            model=self.model,
            dtype=self.dtype,
            bits=self.bits,
            device=self.device,
            adapter=self.adapter,
            ignore_unused=self.ignore_unused,
            seed=self.seed,
        )


def runs_a_step(command: Callable[..., None]) -> Callable[..., Run]:
    """Give a command the shared options behind its own; it is called with them as `run`.

    An option that the command declares itself means what the command says.
    """
    return with_options(command, list(inspect.signature(Run).parameters), Run)


def with_options(
    command: Callable[..., None], names: Collection[str], make: Callable[..., RunT]
) -> Callable[..., RunT]:
    """A command with options of `Run` behind its own.

    Args:
        command: what takes a `run` beside its own options.
        names: the options of `Run` to add; those the command declares itself stay its own.
        make: makes the `run` that the command is called with, and that calling it returns.
    """
    own = list(inspect.signature(command, eval_str=True).parameters.values())
    named = {each.name for each in own}
    mine = [each for each in own if each.name != "run"]
    shared = [
        each.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for each in inspect.signature(Run, eval_str=True).parameters.values()
        if each.name in names and each.name not in named
    ]

    @functools.wraps(command)
    def wrapper(**given: Any) -> RunT:
        run = make(**{each.name: given.pop(each.name) for each in shared})
        command(run=run, **given)
        return run

    parameters = [*mine, *shared]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {each.name: each.annotation for each in parameters}
    return wrapper
