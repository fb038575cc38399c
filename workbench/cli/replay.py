"""`workbench replay` and `sessions diff`: a session looked at, computed again, beside another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from analysis.columns import schema
from analysis.errors import Cancelled, InputError, WorkbenchError
from analysis.model.info import PARITY_LIMITS
from analysis.step import answered
from screens.text import counted, duration, one_line
from sessions import Session
from sessions.compare import TOP, Agreement, compare
from sessions.compare import diff as compared
from sessions.identity import differing
from workbench.cli import completing, narration, options, output
from workbench.cli.steps import loaded, settings_of

if TYPE_CHECKING:
    from analysis.model.info import ModelInfo
    from analysis.model.model import Model
    from analysis.step import Found, Step
    from sessions import RecordedStep
    from sessions.compare import Diff


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
    _check_same(session, model.info)
    limit = PARITY_LIMITS[session.info.model.dtype] if tolerance is None else tolerance
    checked = [_checked(session, recorded, model) for recorded in session.steps]
    for notice in session.notices:
        narration.warn(notice)
    _print_check(session, checked, limit, json)
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
    recorded = session.info.model
    session.check_model(info.model_copy(update={"dtype": recorded.dtype}))
    for what, (before, now) in differing(recorded, info).items():
        if what in ("dtype", "device") or what.startswith("version of "):
            narration.say(f"recorded with {what} {before}, now {now}")


def _checked(session: Session, recorded: RecordedStep, model: Model) -> _Checked:
    """Compute a step again, if it was finished, and compare."""
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
    known = session.find(wanted)
    if known is None or known.state != "done":
        raise WorkbenchError(f"session {session.name} lacks a step of {asking.step.subject}")
    return known.found()


def _print_check(session: Session, checked: list[_Checked], limit: float, json: bool) -> None:
    """A row a step on stdout, and on stderr what was not compared."""
    compared = [(each, each.agreement) for each in checked if each.agreement]
    if json:
        rows: list[dict[str, Any]] = [
            {
                "step": each.recorded.id,
                **agreement_document(each.agreement),
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
                **agreement_cells(found),
                "verdict": each.verdict(limit),
            }
            for each, found in compared
        ]
        title = f"{session.name}, computed again; tolerance {limit:g}"
        output.print_table(pl.DataFrame(table), title, list(table[0]), limit=None)
        for each, found in compared:
            if line := newcomers(found):
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
    if tolerance is not None and not tolerance >= 0:
        raise InputError(f"--tolerance {tolerance}: give a number, 0 or above")


def diff(
    first: options.Recorded,
    second: Annotated[
        str,
        typer.Argument(help="Another one.", show_default=False, autocompletion=completing.recorded),
    ],
    json: options.Json = False,
) -> None:
    """Compare two sessions: the steps both have, and what else differs."""
    sessions = Session.open(first), Session.open(second)
    found = compared(*sessions)
    if json:
        output.print_json(_diff_document(sessions, found))
    else:
        _print_diff(sessions, found)
    for session in sessions:
        for notice in session.notices:
            narration.warn(f"{session.address}: {notice}")


def _diff_document(sessions: tuple[Session, Session], found: Diff) -> dict[str, Any]:
    names = ("first", "second")
    return {
        "first": sessions[0].address,
        "second": sessions[1].address,
        "same": found.same,
        "model": {
            what: dict(zip(names, values, strict=True)) for what, values in found.model.items()
        },
        "steps": [
            {
                "first": pair.first.id,
                "second": pair.second.id,
                "title": pair.first.step.title,
                **agreement_document(pair.agreement),
                "seconds_first": pair.first.info.seconds,
                "seconds_second": pair.second.info.seconds,
                "state_first": pair.first.state,
                "state_second": pair.second.state,
                "same": pair.same,
                "reason": pair.reason,
            }
            for pair in found.pairs
        ],
        "only_first": [_named(each) for each in found.only_first],
        "only_second": [_named(each) for each in found.only_second],
    }


def _named(recorded: RecordedStep) -> dict[str, str]:
    return {"id": recorded.id, "title": recorded.step.title, "state": recorded.state}


def _print_diff(sessions: tuple[Session, Session], found: Diff) -> None:

    first, second = (session.address for session in sessions)
    if found.same:
        compared = counted(len(found.pairs), "step")
        output.print_line(f"{first} and {second}: no difference in {compared}")
        return
    for what, (before, after) in found.model.items():
        output.print_line(one_line(f"{what}: {before} in {first}, {after} in {second}"))
    if found.pairs:
        rows = [
            {
                "step": " = ".join(dict.fromkeys((pair.first.id, pair.second.id))),
                **agreement_cells(pair.agreement),
                "took": " · ".join(duration(each.info.seconds) for each in pair.steps),
            }
            for pair in found.pairs
        ]
        title = f"{first} beside {second}"
        output.print_table(pl.DataFrame(rows), title, list(rows[0]), limit=None)
    for pair in found.pairs:
        if pair.reason is not None:
            output.print_line(f"  not compared: {pair.reason}")
        if line := newcomers(pair.agreement):
            output.print_line(f"  {pair.first.id}: {line}")
    for address, steps in ((first, found.only_first), (second, found.only_second)):
        for each in steps:
            output.print_line(one_line(f"only in {address}: {each.id} {each.step.title}"))


def agreement_document(found: Agreement | None) -> dict[str, Any]:
    """As JSON, which knows no infinity: that difference is null; so is all that is not compared."""
    if found is None:
        return dict.fromkeys(agreement_document(Agreement(0, 0, 0, 0.0)))
    return {
        "rows": found.rows,
        "missing": found.missing,
        "added": found.added,
        "difference": found.difference if math.isfinite(found.difference) else None,
        "column": found.column,
        "top": found.top,
        "moved": found.moved,
        "entered": list(found.entered),
        "left": list(found.left),
    }


def agreement_cells(found: Agreement | None) -> dict[str, str]:
    """The same in a few words for a table."""
    if found is None:
        return {"rows": "·", "largest difference": "not compared", f"top {TOP}": "·"}
    once = [f"−{found.missing}"] * bool(found.missing) + [f"+{found.added}"] * bool(found.added)
    largest = f"{found.difference:.1e} {found.column}" if found.difference else "0"
    return {
        "rows": " ".join([str(found.rows), *once]),
        "largest difference": largest,
        f"top {TOP}": f"{found.moved} moved" if found.moved else "as it was",
    }


def newcomers(found: Agreement | None) -> str:
    """Which rows came to the top and which left it; empty if none did."""
    if found is None or not (found.entered or found.left):
        return ""
    came, went = (", ".join(names) or "none" for names in (found.entered, found.left))
    return one_line(f"new in the top {found.top}: {came}; no longer there: {went}")
