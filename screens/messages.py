"""What screens ask of the app. Screens never run anything themselves."""

from __future__ import annotations

from pathlib import Path

from textual.message import Message

from analysis.changes import Changes
from analysis.step import Step
from analysis.tasks.prompts import PromptSet
from sessions import View
from sessions.provenance import Format


class StepRequested(Message):
    """The user wants a step run; its screen is shown when it starts."""

    def __init__(self, step: Step, stay: bool = False) -> None:
        super().__init__()
        self.step = step
        self.stay = stay
        """The screen that asks shows the result itself."""


class ResumeRequested(Message):
    """The user wants an unfinished result finished."""

    def __init__(self, result_id: str) -> None:
        super().__init__()
        self.result_id = result_id


class RerunRequested(Message):
    """The user wants a finished step computed again, beside what is there of it."""

    def __init__(self, result_id: str) -> None:
        super().__init__()
        self.result_id = result_id


class StopRequested(Message):
    """The user wants a waiting or running step stopped; what is finished is kept."""

    def __init__(self, result_id: str) -> None:
        super().__init__()
        self.result_id = result_id


class PromptsChosen(Message):
    """The user works on other prompts, or on another case of them."""

    def __init__(self, prompts: PromptSet, case: int) -> None:
        super().__init__()
        self.prompts = prompts
        self.case = case


class ResultLeft(Message):
    """A screen shows something else now; how a result was looked at is worth remembering."""

    def __init__(self, number: int, view: View) -> None:
        super().__init__()
        self.number = number
        self.view = view


class SessionChosen(Message):
    """The user wants to look at a recorded session, from one of its steps on."""

    def __init__(self, name: str, step: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.step = step
        """Id of the step; None: the one it begins with."""


class StepChosen(Message):
    """The user wants to see another step of the session at hand."""

    def __init__(self, result_id: str) -> None:
        super().__init__()
        self.result_id = result_id


class NoteRequested(Message):
    """The user wants to write a note on a session or on one of its steps."""

    def __init__(self, session: str | None, step: str | None) -> None:
        super().__init__()
        self.session = session
        """None: the one at hand."""
        self.step = step
        """None: the whole session."""


class SessionRenamed(Message):
    """The user wants another name for a session."""

    def __init__(self, name: str, new: str) -> None:
        super().__init__()
        self.name = name
        self.new = new


class SessionRemoved(Message):
    """The user confirmed that a session should be deleted."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class CopyRequested(Message):
    """The user wants text on the clipboard."""

    def __init__(self, text: str, what: str) -> None:
        super().__init__()
        self.text = text
        self.what = what
        """What it is, for the notice."""


class ScreenRequested(Message):
    """The user follows something to another screen."""

    def __init__(self, name: str, result_id: str | None = None) -> None:
        super().__init__()
        self.name = name
        self.result_id = result_id
        """The result to show there; None: the one that it shows."""


class ChangesStaged(Message):
    """The user wants these changes staged in place of those that are."""

    def __init__(self, changes: Changes, words: str) -> None:
        super().__init__()
        self.changes = changes
        self.words = words
        """What was done, for the notice."""


class HistoryRequested(Message):
    """The user undoes (−1) or redoes (+1) a staged change."""

    def __init__(self, by: int) -> None:
        super().__init__()
        self.by = by


class VariantRequested(Message):
    """The user wants every analysis to run on the staged variant, or on the model as it is."""


class ExportRequested(Message):
    """The user wants the staged variant written to a folder."""

    def __init__(self, folder: Path, changes: Changes, format: Format) -> None:
        super().__init__()
        self.folder = folder
        self.changes = changes
        self.format = format
