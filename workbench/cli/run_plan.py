"""`workbench run`: the steps of a plan, one after the other, into one session."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import polars as pl
import typer

from analysis.errors import Cancelled, WorkbenchError
from screens.text import counted, duration, one_line
from sessions import Session, exists
from workbench.cli import narration, options, output
from workbench.cli.step_commands import OnModel, on_a_model
from workbench.cli.steps import follow, loaded, recording, tell_answers
from workbench.logs import unforeseen

if TYPE_CHECKING:
    from analysis.model.model import Model
    from sessions import RecordedStep
    from sessions.documents import FoundState
    from workbench.cli.plans import Planned
    from workbench.settings import Settings

PlannedState: TypeAlias = 'FoundState | Literal["waiting", "there already"]'


@dataclass(frozen=True)
class Fate:
    """What became of a step of the plan."""

    planned: Planned
    state: PlannedState = "waiting"
    recorded: RecordedStep | None = None
    error: str | None = None

    @property
    def row(self) -> dict[str, Any]:
        """It as a row of the closing table."""
        info = None if self.recorded is None else self.recorded.info
        return {
            "step": self.planned.number,
            "kind": self.planned.step.kind,
            "id": None if self.recorded is None else self.recorded.id,
            "title": self.planned.step.title,
            "state": self.state,
            "rows": None if self.recorded is None else self.recorded.done_rows,
            "seconds": None if info is None else info.seconds,
        }

    @property
    def progress(self) -> str:
        """The state, and of a step that is not finished how far it is."""
        if self.recorded is None or self.state in ("done", "there already"):
            return self.state
        return f"{self.state} {self.recorded.done_rows:,} of {self.recorded.info.expected:,}"


@on_a_model()
def run_plan(
    plan: Annotated[
        Path, typer.Argument(help="A TOML file.", metavar="PLAN.toml", show_default=False)
    ],
    session: options.SessionName = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="After a failing step go on with the next.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", help="Read the plan, say its steps, and stop.")
    ] = False,
    seed: options.Seed = None,
    json: options.Json = False,
    *,
    on: OnModel,
) -> None:
    """Run the steps of a plan into one session; again, it goes on where it was stopped."""
    from workbench.cli.plans import planned, read_plan, session_name
    from workbench.terminal import stopped_in_order

    given = on.flags | {"seed": seed}
    read = read_plan(plan)
    chosen = read.model_dump(include=set(given)) | {
        name: value for name, value in given.items() if value is not None
    }
    if session is not None:
        read = read.model_copy(update={"session": session})
    settings = options.settings(**chosen)
    name = session_name(plan, read)
    fates = [Fate(each) for each in planned(plan, read, chosen)]
    if listed:
        if exists(name):
            fates = _as_recorded(fates, Session.open(name))
        _print(fates, name, json)
        return
    if exists(name):
        Session.open(name, writable=True).close()  # who writes it is told before a model is loaded
    given |= {"session": session}
    go_on = _command(plan, given, keep_going)
    with stopped_in_order():
        _run(fates, name, settings, keep_going or read.keep_going, go_on)
    _print(fates, name, json)
    _judge(fates, plan)


def _as_recorded(fates: list[Fate], session: Session) -> list[Fate]:
    """How far each step of a plan is in a session; one that was never begun waits."""

    def found(fate: Fate) -> Fate:
        recorded = session.find(fate.planned.step)
        if recorded is None:
            return fate
        state = recorded.state
        return replace(fate, state="there already" if state == "done" else state, recorded=recorded)

    return [found(fate) for fate in fates]


def _command(plan: Path, given: dict[str, Any], keep_going: bool) -> str:
    """The command that goes on with the plan, ready for a shell."""
    words = ["workbench", "run", str(plan)]
    for name, value in given.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words += [option]
        elif value is not None:
            words += [option, str(value)]
    return shlex.join(words + ["--keep-going"] * keep_going)


def _run(fates: list[Fate], name: str, settings: Settings, keep_going: bool, go_on: str) -> None:
    """Run what is not done yet, and write into `fates` what became of each step."""
    with narration.held_back():
        model = loaded(settings)
        with recording(name, settings, model, hint=name) as session:
            narration.go_ahead()
            steps = counted(len(fates), "step")
            narration.say(f"session {session.name}: {steps} on {model.info.name}")
            for place, fate in enumerate(fates):
                try:
                    fates[place] = _settled(fate, session, model, settings, go_on)
                except (Cancelled, KeyboardInterrupt):
                    raise
                except Exception as error:
                    fates[place] = _failed(fate, session, error)
                if fates[place].state == "failed" and not keep_going:
                    return
                narration.say(_line(fates[place], place + 1, len(fates)))


def _settled(fate: Fate, session: Session, model: Model, settings: Settings, go_on: str) -> Fate:
    """A step that the session has now, with all its rows."""
    step = fate.planned.step.fitted(model.fits)
    fate = replace(fate, planned=replace(fate.planned, step=step))
    there = _as_recorded([fate], session)[0]
    if there.state == "there already":
        return there
    prompts = getattr(step, "prompts", None)
    reads = getattr(step, "prompt", None) if prompts is None else prompts.prompts[0]
    tell_answers(step, model, reads)
    recorded = follow(session, step, model, settings, go_on=go_on)
    return replace(fate, state="done", recorded=recorded)


def _failed(fate: Fate, session: Session, error: Exception) -> Fate:

    reason = str(error) if isinstance(error, WorkbenchError) else unforeseen(error)
    recorded = session.find(fate.planned.step)
    return replace(fate, state="failed", recorded=recorded, error=" ".join(reason.split()))


def _line(fate: Fate, place: int, steps: int) -> str:
    """One line about a step that has come to its end."""
    step, recorded = fate.planned.step, fate.recorded
    words = f"{place} of {steps}  "
    if fate.error is not None:
        return f"{words}{step.kind} failed: {fate.error}"
    assert recorded is not None
    rows = counted(recorded.done_rows, "row")
    took = "there already" if fate.state != "done" else duration(recorded.info.seconds)
    return f"{words}{recorded.id}  {one_line(step.title)}  {rows}  {took}"


def _print(fates: list[Fate], name: str, json: bool) -> None:
    """The table of all steps, or the document."""
    if json:
        steps = [{**fate.row, "error": fate.error} for fate in fates]
        output.print_json({"session": name, "steps": steps})
    else:
        table = [{**each.row, "state": each.progress} for each in fates]
        rows = pl.DataFrame(table, infer_schema_length=None)
        output.print_table(rows, f"session {name}", rows.columns, None, elastic=("title",))


def _judge(fates: list[Fate], plan: Path) -> None:
    """Raise WorkbenchError if a step failed."""
    failed = [each for each in fates if each.state == "failed"]
    waiting = sum(each.state == "waiting" for each in fates)
    if not failed:
        return
    first = failed[0]
    words = f"{plan.name}, step {first.planned.number} ({first.planned.step.kind}): {first.error}"
    if len(failed) > 1:
        words += f"; {len(failed)} steps failed in all"
    if waiting:
        words += f"; {waiting} behind it not run (--keep-going runs them)"
    raise WorkbenchError(words)
