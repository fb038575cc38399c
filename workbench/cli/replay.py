"""`workbench replay`: look at a recorded session, or compute it again and compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli import options

if TYPE_CHECKING:
    import polars as pl

    from analysis.model.info import ModelInfo
    from analysis.model.model import Model
    from analysis.step import Found, Step
    from sessions import RecordedStep, Session
    from sessions.compare import Agreement


def replay(
    name: options.Recorded,
    check: Annotated[
        bool,
        typer.Option("--check", help="Compute every step again and compare, without the UI."),
    ] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(
            "--tolerance",
            min=0,
            help="Largest difference of a number; else what rounding explains in the recorded "
            "dtype.",
            show_default=False,
        ),
    ] = None,
    model: options.ModelName = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    adapter: options.Adapter = None,
    json: options.Json = False,
) -> None:
    """Open a session in the terminal UI, with no model; or check its numbers."""
    from analysis.errors import InputError
    from sessions import Session
    from workbench.cli.steps import loaded, settings_of
    from workbench.tui import open_replay

    session = Session.open(name)
    if check:
        _check_tolerance(tolerance)
        opened = loaded(settings_of(session, model, device, adapter, dtype))
        _check(session, opened, tolerance, json)
    elif any(each is not None for each in (tolerance, model, dtype, device, adapter)) or json:
        raise InputError("a replay needs no model; --model and the like go with --check")
    else:
        open_replay(session, options.settings())


DRIFT = "DRIFT"
"""The verdict on numbers that should have been the same."""


@dataclass(frozen=True)
class _Checked:
    """What came of computing a step again."""

    recorded: RecordedStep
    agreement: Agreement | None = None
    reason: str | None = None
    """Why there is nothing to compare."""
    failed: bool = False
    """Whether it was finished once, and yet could not be compared."""

    def verdict(self, limit: float) -> str:
        """In a word or two whether the numbers are the same within a limit."""
        if self.agreement is None:
            return "not compared"
        if self.agreement.holds(limit):
            return "agrees"
        return "definition changed" if self.recorded.outdated else DRIFT


def _check(session: Session, model: Model, tolerance: float | None, json: bool) -> None:
    """Compute the finished steps again and say how far they differ.

    Raises:
        WorkbenchError: they differ by more than rounding explains, or could not be computed.
    """
    from analysis.errors import WorkbenchError
    from analysis.model.info import PARITY_LIMITS
    from workbench.cli import narration

    _check_same(session, model.info)
    limit = PARITY_LIMITS[session.info.model.dtype] if tolerance is None else tolerance
    checked = [_checked(session, recorded, model) for recorded in session.steps]
    for notice in session.notices:
        narration.warn(notice)
    _print(session, checked, limit, json)
    drifted = [each.recorded.id for each in checked if each.verdict(limit) == DRIFT]
    if drifted:
        raise WorkbenchError(
            f"{', '.join(drifted)} of session {session.name}: computed again, the numbers differ "
            f"by more than {limit:g}"
        )
    broken = [each.recorded.id for each in checked if each.failed]
    if broken:
        raise WorkbenchError(f"{', '.join(broken)} of session {session.name} could not be compared")


def _check_same(session: Session, info: ModelInfo) -> None:
    """Make sure that it is the session's model, in whatever dtype, and say what else changed."""
    from sessions.identity import differing
    from workbench.cli import narration

    recorded = session.info.model
    session.check_model(info.model_copy(update={"dtype": recorded.dtype}))
    for what, (before, now) in differing(recorded, info).items():
        if what in ("dtype", "device") or what.startswith("version of "):
            narration.say(f"recorded with {what} {before}, now {now}")


def _checked(session: Session, recorded: RecordedStep, model: Model) -> _Checked:
    """Compute a step again, if it was finished, and compare."""
    from analysis.errors import Cancelled, WorkbenchError
    from sessions.compare import compare
    from workbench.cli import narration

    if (state := recorded.state) != "done":
        reason = f"{state}, so there is no whole to compare"
        return _Checked(recorded, reason=reason, failed=state == "damaged")
    narration.say(f"{recorded.id}: {recorded.step.title}")
    try:
        again = _again(session, recorded, model)
    except Cancelled:
        raise
    except WorkbenchError as error:
        return _Checked(recorded, reason=str(error), failed=True)
    return _Checked(recorded, compare(recorded.step, recorded.rows(), again))


def _again(session: Session, recorded: RecordedStep, model: Model) -> pl.DataFrame:
    """The rows of a step, computed once more."""
    import polars as pl

    from analysis.columns import schema
    from analysis.step import answered
    from workbench.cli import narration

    step = recorded.step
    tables = [pl.DataFrame(schema=schema(step.columns))]
    if (asking := step.asks()) is not None:  # the steps it asks for are checked themselves
        work = answered(asking, lambda wanted: _found(session, wanted, recorded))
        return pl.concat([*tables, *work.frames(())])
    with narration.bar(step.kind) as bar:
        for table in step.run(model):
            tables.append(table)
            bar.update(sum(each.height for each in tables), recorded.info.expected)
    return pl.concat(tables)


def _found(session: Session, wanted: Step, asking: RecordedStep) -> Found:
    """What a step found that another one was made of.

    Raises:
        WorkbenchError: the session lacks it.
    """
    from analysis.errors import WorkbenchError

    known = session.find(wanted)
    if known is None or known.state != "done":
        raise WorkbenchError(f"session {session.name} lacks a step of {asking.step.subject}")
    return known.found()


def _print(session: Session, checked: list[_Checked], limit: float, json: bool) -> None:
    """A row a step on stdout, and on stderr what was not compared."""
    import polars as pl

    from workbench.cli import agreement, narration, output

    compared = [(each, each.agreement) for each in checked if each.agreement]
    if json:
        rows: list[dict[str, Any]] = [
            {
                "step": each.recorded.id,
                **agreement.document(each.agreement),
                "tolerance": limit,
                "agrees": each.agreement.holds(limit) if each.agreement else None,
                "definition_changed": bool(each.recorded.outdated),
                "reason": each.reason,
            }
            for each in checked
        ]
        output.print_json(rows)
    elif compared:
        table = [
            {
                "step": each.recorded.id,
                **agreement.cells(found),
                "verdict": each.verdict(limit),
            }
            for each, found in compared
        ]
        title = f"{session.name}, computed again; tolerance {limit:g}"
        output.print_table(pl.DataFrame(table), title, list(table[0]), limit=None)
        for each, found in compared:
            if line := agreement.newcomers(found):
                output.print_line(f"  {each.recorded.id}: {line}")
    else:
        narration.say(f"session {session.name} has no finished steps")
    for each in checked:
        if each.reason is not None:
            narration.warn(f"{each.recorded.id} is not compared: {each.reason}")


def _check_tolerance(tolerance: float | None) -> None:
    """Refuse a tolerance that nothing could exceed or keep.

    Raises:
        InputError: it is no number.
    """
    from analysis.errors import InputError

    if tolerance is not None and not tolerance >= 0:
        raise InputError(f"--tolerance {tolerance}: give a number, 0 or above")
