"""What the job thread tells the app."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from textual.message import Message

from analysis.changes import Changes
from analysis.model.info import ModelInfo
from screens.workspace import Reading, State
from sessions import Rows, Session, Started


class ModelLoading(Message):
    """The model is on its way; `status` says how far."""

    def __init__(self, status: str) -> None:
        super().__init__()
        self.status = status


class ModelReady(Message):
    """The model is loaded and checked."""

    def __init__(self, info: ModelInfo) -> None:
        super().__init__()
        self.info = info


class ModelFailed(Message):
    """There will be no model."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class PromptRead(Message):
    """A prompt was tokenised and its continuation predicted."""

    def __init__(self, reading: Reading) -> None:
        super().__init__()
        self.reading = reading


class AnswersDoubted(Message):
    """The model says other spellings than the answers of a set that is measured."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class StepStarted(Message):
    """A step has its place in the session; its baseline and estimates are known."""

    def __init__(self, job: str, started: Started, session: Session) -> None:
        super().__init__()
        self.job = job
        self.started = started
        self.session = session


class FrameReady(Message):
    """More rows of a step are on disk."""

    def __init__(self, job: str, frame: pl.DataFrame, last: Rows) -> None:
        super().__init__()
        self.job = job
        self.frame = frame
        self.last = last


class StepWorks(Message):
    """How far a step is between two frames."""

    def __init__(self, job: str, rows: float, words: str, remaining: float | None) -> None:
        super().__init__()
        self.job = job
        self.rows = rows
        self.words = words
        self.remaining = remaining


class StepEnded(Message):
    """A step came to its end: `done`, `stopped` or `failed` with the reason."""

    def __init__(self, job: str, state: State, seconds: float, reason: str | None = None) -> None:
        super().__init__()
        self.job = job
        self.state = state
        self.seconds = seconds
        self.reason = reason


class Exported(Message):
    """A changed model is on disk; or, with a reason, it is not."""

    def __init__(self, folder: Path, changes: Changes, reason: str | None = None) -> None:
        super().__init__()
        self.folder = folder
        self.changes = changes
        self.reason = reason
