"""What screens ask of the app. Screens never run anything themselves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from textual.message import Message

from analysis.changes import Changes
from analysis.step import Step
from analysis.tasks.prompts import Prompt, PromptSet
from screens.workspace import Result
from sessions import View
from sessions.provenance import Format


class Request(Message):
    """Something that the app is asked for, or told."""


@dataclass
class StepRequested(Request):
    """The user wants a step run, in a replay found; its screen is shown when it starts."""

    step: Step
    stay: bool = False
    """The screen that asks shows the result itself."""
    alike: tuple[str, ...] = ()
    """In a replay a recorded step that shares these fields is shown where there is none that equals
    it; none: only an equal one."""


@dataclass
class ResumeRequested(Request):
    """The user wants an unfinished result finished."""

    result_id: str


@dataclass
class RerunRequested(Request):
    """The user wants a finished step computed again, beside what is there of it."""

    result_id: str


@dataclass
class StopRequested(Request):
    """The user wants a waiting or running step stopped; what is finished is kept."""

    result_id: str


@dataclass
class PromptsChosen(Request):
    """The user works on other prompts, or on another case of them."""

    prompts: PromptSet
    case: int


@dataclass
class ReadingRequested(Request):
    """The user types a case; what the model makes of it is to be shown beside it."""

    prompt: Prompt


@dataclass
class ResultLeft(Request):
    """A screen shows something else now; how a result was looked at is worth remembering."""

    result_id: str
    view: View


@dataclass
class ResultSeen(Request):
    """A screen in front shows a result: that is where its session opens the next time."""

    result_id: str


@dataclass
class SessionChosen(Request):
    """The user wants to look at a recorded session, from one of its steps on."""

    name: str
    step: str | None = None
    """Id of the step; None: the one it begins with."""


@dataclass
class StepChosen(Request):
    """The user wants to see another step of the session at hand."""

    result_id: str


@dataclass
class NoteRequested(Request):
    """The user wants to write a note on a session or on one of its steps."""

    session: str | None
    """None: the one at hand."""
    step: str | None
    """None: the whole session."""


@dataclass
class SessionRenamed(Request):
    """The user wants another name for a session."""

    name: str
    new: str


@dataclass
class SessionRemoved(Request):
    """The user confirmed that a session should be deleted."""

    name: str


@dataclass
class CopyRequested(Request):
    """The user wants text on the clipboard."""

    text: str
    what: str
    """What it is, for the notice."""


@dataclass
class RowsRequested(Request):
    """The user wants what a screen shows written to a file."""

    screen: str
    """Its name."""
    rows: pl.DataFrame
    """All of it, in the order in sight."""
    filtered: pl.DataFrame | None
    """What the filter shows of it; None: none is in force."""
    title: str
    """What it is, in words."""
    results: tuple[Result, ...] = ()
    """What the rows come from; none: they are no result."""


@dataclass
class ScreenRequested(Request):
    """The user follows something to another screen."""

    name: str
    result_id: str | None = None
    """The result to show there; None: the one that it shows."""


@dataclass
class ChangesStaged(Request):
    """The user wants these changes staged in place of those that are."""

    changes: Changes
    words: str
    """What was done, for the notice."""


@dataclass
class HistoryRequested(Request):
    """The user undoes (−1) or redoes (+1) a staged change."""

    by: int


class VariantRequested(Request):
    """The user wants every analysis to run on the staged variant, or on the model as it is."""


@dataclass
class ExportRequested(Request):
    """The user wants the staged variant written to a folder."""

    folder: Path
    changes: Changes
    format: Format
