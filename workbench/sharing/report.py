"""A session as a Markdown page: what was asked, what came of it, a picture of each screen."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import polars as pl
from pydantic import BaseModel

from analysis.changes import Changes
from analysis.columns import printed
from analysis.errors import WorkbenchError
from analysis.folders import write_durably, written_aside
from analysis.interventions import Intervention
from analysis.step import Step
from analysis.steps.neurons import quoted
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.texts import Text
from screens import markdown
from screens.text import count, duration
from sessions import RecordedStep, Session
from workbench import __version__
from workbench.sharing.destination import PICTURES, REPORT, ExportTarget
from workbench.sharing.rows import as_markdown, cell, printed_baseline

if TYPE_CHECKING:
    from workbench.settings import Settings


SHOWN = 20
"""Rows of each step's table; a file of rows has all of them."""


def write_report(
    session: Session,
    steps: Sequence[RecordedStep],
    to: ExportTarget,
    settings: Settings,
    pictures: bool = True,
    progress: Callable[[int, int], None] = lambda done, expected: None,
) -> list[Path]:
    """Write the page and its pictures.

    Args:
        session: what is reported.
        steps: which of its steps.
        to: a folder, or a page whose pictures get a folder beside it.
        settings: whose theme the screens wear.
        pictures: whether to draw the screens.
        progress: called with the pictures that are drawn, and how many there will be.

    Returns:
        The files written.

    Raises:
        WorkbenchError: the system refused.
    """
    drawn = [each.id for each in steps if _has_screen(each)] if pictures else []
    text = page(session, steps, to.pictures.name if drawn else "", drawn)
    if to.folder:
        with written_aside(to.path) as folder:
            _draw(session, drawn, folder / PICTURES, settings, progress)
            (folder / REPORT).write_text(text, "utf-8")
    else:
        if drawn:
            with written_aside(to.pictures) as folder:
                _draw(session, drawn, folder, settings, progress)
        write_durably(to.path, text.encode())
    return [to.page, *(to.pictures / f"{id}.svg" for id in drawn)]


def _draw(
    session: Session,
    ids: Sequence[str],
    folder: Path,
    settings: Settings,
    progress: Callable[[int, int], None],
) -> None:
    from workbench.sharing.pictures import draw

    if ids:
        folder.mkdir(exist_ok=True)
        draw(session, ids, folder, settings, progress)


def _has_screen(recorded: RecordedStep) -> bool:
    """Whether a screen is about steps of this kind; some only stand beside others."""
    from workbench.roster import SCREENS

    return any(recorded.step.kind in screen.KINDS for screen in SCREENS)


def page(session: Session, steps: Sequence[RecordedStep], folder: str, drawn: Sequence[str]) -> str:
    """The page of a session.

    Args:
        session: what is reported.
        steps: which of its steps.
        folder: where its pictures are, from the page.
        drawn: the steps that have one.
    """
    sections = [_opening(session), _contents(steps)]
    for recorded in steps:
        picture = f"{quote(folder)}/{recorded.id}.svg" if recorded.id in drawn else None
        sections.append(_section(recorded, picture))
    if session.notices:
        notices = "".join(f"- Notice: {markdown.text(each)}\n" for each in session.notices)
        sections.append(f"## Out of order\n\n{notices}")
    return "\n".join(sections)


def _opening(session: Session) -> str:
    info = session.info
    model = info.model
    revision = "" if model.revision is None else f", {markdown.text(model.revision)}"
    adapter = "" if model.adapter is None else f", wearing adapter {markdown.text(model.adapter)}"
    versions = ", ".join(f"{name} {version}" for name, version in model.versions.items())
    facts = [
        f"Model: {markdown.text(model.name)} ({markdown.text(model.source)}{revision}){adapter}",
        f"Shape: {markdown.text(model.architecture)}, {model.layers} layers, {model.heads} heads "
        f"and {count(model.neurons)} FFN neurons a layer, {count(model.parameters)} parameters",
        f"Computed in: {markdown.text(model.precision)} on {markdown.text(model.device)}; "
        f"largest parity error {model.parity.worst:.1e}; seed {info.seed}",
        f"Weights: sha256 {markdown.text(model.weights_sha256 or 'unknown')}",
        f"Versions: {markdown.text(versions or 'unknown')}",
        f"Recorded: {info.created:%Y-%m-%d %H:%M} UTC",
        f"Report: CNA Workbench {__version__} on Python {platform.python_version()}",
    ]
    note = f"\nNote: {markdown.lines(info.note)}\n" if info.note else ""
    listed = "".join(f"- {each}\n" for each in facts)
    return f"# Session {markdown.text(session.name)}\n{note}\n{listed}"


def _contents(steps: Sequence[RecordedStep]) -> str:
    rows = [
        (
            each.id,
            markdown.text(each.step.title),
            each.state,
            count(each.done_rows),
            _time(each),
        )
        for each in steps
    ]
    columns = ("step", "what", "state", "rows", "time")
    return markdown.table(columns, rows, (False, False, False, True, True)) + "\n"


def _section(recorded: RecordedStep, picture: str | None) -> str:
    step, info = recorded.step, recorded.info
    lines = [f"## {recorded.index} · {markdown.text(step.title)}", ""]
    lines += [f"- {name}: {markdown.text(value)}" for name, value in parameters(step)]
    lines.append(f"- state: {_state(recorded)}, begun {info.started:%Y-%m-%d %H:%M} UTC")
    if info.error:
        lines.append(f"- error: {markdown.text(info.error)}")
    if info.note:
        lines += ["", f"Note: {markdown.lines(info.note)}"]
    rows = _ranked(recorded)
    if summary := step.summary(rows):
        lines += ["", f"Summary: {markdown.text(summary)}"]
    lines += ["", *_baseline(recorded)]
    if picture is not None:
        lines += [f"![The screen of step {recorded.index}]({picture})", ""]
    return "\n".join(lines) + "\n" + _table(recorded, rows)


def _state(recorded: RecordedStep) -> str:
    done, expected = recorded.done_rows, recorded.info.expected
    rows = count(done) if done == expected else f"{count(done)} of {count(expected)}"
    return f"{recorded.state}, {rows} rows in {_time(recorded)}"


def _time(recorded: RecordedStep) -> str:
    return duration(recorded.info.seconds)


def _baseline(recorded: RecordedStep) -> Iterator[str]:
    """What the rows are compared with, a line each."""
    facts = printed_baseline(recorded.info.baseline)
    if not facts:
        return
    yield from ("Baseline:", "")
    for name, value in facts.items():
        parts = value if isinstance(value, list) else [value]
        words = ", ".join(_fact(name, each) for each in parts)
        yield f"- {markdown.text(name.replace('_', ' '))}: {markdown.text(words)}"
    yield ""


def _fact(name: str, value: Any) -> str:
    return json.dumps(value) if isinstance(value, list | dict) else cell(name, value)


def _ranked(recorded: RecordedStep) -> pl.DataFrame:
    """All rows in their order, as far as they can be put in one: somebody else wrote them."""
    rows = recorded.rows()
    try:
        return recorded.step.ranked(rows)
    except pl.exceptions.PolarsError as error:
        raise WorkbenchError(f"the rows of {recorded.id} cannot be ranked: {error}") from error


def _table(recorded: RecordedStep, rows: pl.DataFrame) -> str:
    columns = printed(recorded.step.filled)
    shown = rows.head(SHOWN).select(columns)
    more = rows.height - shown.height
    return as_markdown(shown) + "\n" + (f"\n… and {count(more)} more rows.\n" if more else "")


NAMED = 6
"""Values of a list that are named; more are counted."""


def parameters(step: Step) -> Iterator[tuple[str, str]]:
    """The name and the value of each parameter that is set."""
    for name in type(step).model_fields:
        value = getattr(step, name)
        if name == "kind" or value is None or value == ():
            continue
        yield name.replace("_", " "), in_words(value)
        if isinstance(value, PromptSet) and len(value):
            yield f"first of {name.replace('_', ' ')}", in_words(value.prompts[0])


def in_words(value: Any) -> str:
    """A parameter's value as people say it. Of a path only the name: folders are one's own."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Prompt):
        answers = " or ".join(map(quoted, value.answers)) or "its top prediction"
        wrong = f", not {' or '.join(map(quoted, value.wrongs))}" if value.wrongs else ""
        against = f", against {quoted(value.corrupt)}" if value.corrupt is not None else ""
        return f"{quoted(value.prompt)} → {answers}{wrong}{against}"
    if isinstance(value, PromptSet):
        return value.title
    if isinstance(value, Text):
        return f"{value.name} ({len(value.text):,} characters)"
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple):
        if value and all(isinstance(each, Intervention) for each in value):
            return str(Changes.of(value))
        named = ", ".join(in_words(each) for each in value[:NAMED])
        return named if len(value) <= NAMED else f"{named} and {len(value) - NAMED:,} more"
    if isinstance(value, BaseModel) and not isinstance(value, Intervention):
        fields = ((name, getattr(value, name)) for name in type(value).model_fields)
        given = ((name.replace("_", " "), each) for name, each in fields if each is not None)
        return ", ".join(f"{name} {in_words(each)}" for name, each in given)
    return f"{value:g}" if isinstance(value, float) else str(value)
