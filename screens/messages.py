"""What screens ask of the app. Screens never run anything themselves."""

from __future__ import annotations

from textual.message import Message

from analysis.prompts import PromptSet
from analysis.step import Step


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


class SessionChosen(Message):
    """The user wants to look at a recorded session."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


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

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
