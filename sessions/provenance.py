"""Where an exported model comes from, and files that hold changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from pydantic import AwareDatetime, field_validator

from analysis.changes import Changes
from analysis.columns import printed
from analysis.errors import InputError
from analysis.model.info import ModelInfo
from analysis.steps import EvaluateStep
from sessions.documents import Document
from sessions.files import Unreadable
from sessions.session import Session

PROVENANCE = "provenance.json"
"""Its name in the folder of an exported model or adapter."""
MASK = "mask.json"
"""The same document where it is all that is exported."""

Format: TypeAlias = Literal["hf", "adapter", "mask"]
FORMATS: tuple[Format, ...] = get_args(Format)


def parse_format(text: str) -> Format:
    """The format of an export by its name.

    Raises:
        InputError: it is none.
    """
    for each in FORMATS:
        if each == text:
            return each
    raise InputError(f"{text!r} is no format; choose {', '.join(FORMATS)}")


class ChangesFile(Document):
    """A JSON file that holds changes, whatever else stands in it."""

    changes: tuple[str, ...]
    """As on the command line: `L24N1493`, `L20H8=0.5`."""

    @field_validator("changes")
    @classmethod
    def _readable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        Changes.parse(value)
        return value


class Provenance(ChangesFile):
    """What was exported: of which model, with which changes, measured how."""

    format: Format
    dtype: str | None = None
    """What the weights are stored in, where the folder holds a model."""
    exported: AwareDatetime
    base: ModelInfo
    """The model that was changed: its source, hashes, adapter and the versions that ran it."""
    session: str | None = None
    """The session that the changes were measured in."""
    measured: tuple[dict[str, Any], ...] = ()
    """Rows of the evaluation of these changes in that session."""


def changes_of(session: Session) -> Changes:
    """The changes last worked with in a session: evaluated, or in force during a step.

    Raises:
        InputError: there are none.
    """
    for recorded in reversed(session.steps):
        step = recorded.step
        last = step.edit if isinstance(step, EvaluateStep) else step.changes
        if last:
            return Changes.of(last)
    raise InputError(f"session {session.name} has no changes; name them with --change")


def measured_in(session: Session, changes: Changes) -> tuple[dict[str, Any], ...]:
    """Rows of the last finished evaluation of these changes in a session."""
    for recorded in reversed(session.steps):
        step = recorded.step
        if (
            isinstance(step, EvaluateStep)
            and dict(Changes.of(step.edit).factors) == dict(changes.factors)
            and recorded.state == "done"
        ):
            return tuple(step.ranked(recorded.rows()).select(printed(step.filled)).to_dicts())
    return ()


def with_files(texts: Iterable[str]) -> list[str]:
    """Changes as they are typed, those of a file in place of its `@FILE`.

    Raises:
        InputError: a file holds no changes.
    """
    found: list[str] = []
    for text in texts:
        found += read_changes(Path(text[1:])).texts if text.startswith("@") else [text]
    return found


def read_changes(path: Path) -> Changes:
    """The changes of a mask, of the provenance beside an export, or of a file like them.

    Args:
        path: the file, or the folder it lies in.

    Raises:
        InputError: it is not there or holds no changes.
    """
    if path.is_dir():
        path /= PROVENANCE if (path / PROVENANCE).exists() else MASK
    try:
        return Changes.parse(ChangesFile.read(path).changes)
    except Unreadable as error:
        raise InputError(f"no changes in {path}: {error}") from error
