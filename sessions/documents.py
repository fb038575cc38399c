"""The JSON documents of a session: `session`, `step`, `view`, `desk` and `writer.json`."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.folders import write_durably
from analysis.model.info import ModelInfo
from sessions.files import MAX_JSON_BYTES, Unreadable, read_plain

SCHEMA = 1
"""Version of the layout on disk; raised whenever an older program could not read it."""
MAX_NOTE = 10_000
"""Characters of a note."""

RecordedState: TypeAlias = Literal["running", "done", "stopped", "interrupted", "failed"]
"""`stopped` by the user; `interrupted` because its process ended; `failed` with an error."""
FoundState: TypeAlias = RecordedState | Literal["damaged"]
"""What a reader finds: `damaged` is a finished step whose rows cannot all be read any more."""

VIEW_FILE = "view.json"
DESK_FILE = "desk.json"
View: TypeAlias = dict[str, Any]
"""How a step was looked at, by names that the screen which made it understands."""


class Document(BaseModel):
    """A versioned JSON file. Fields of later versions are ignored where the schema allows them."""

    # Measured values may be infinite or not a number, and must come back as they were.
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, ser_json_inf_nan="constants"
    )

    schema_version: int = Field(default=SCHEMA, alias="schema", ge=1)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the document at `path`.

        Raises:
            Unreadable: it is missing, damaged or of a newer schema.
        """
        data = read_plain(path, MAX_JSON_BYTES)
        try:
            try:
                found = cls.model_validate_json(data)
                version = found.schema_version
            except ValidationError:
                # Of a newer schema perhaps, and only then no damage.
                version = Document.model_validate_json(data).schema_version
                if version <= SCHEMA:
                    raise
            if version > SCHEMA:
                raise Unreadable(
                    f"it was written by a newer workbench (schema {version}, "
                    f"this one reads up to {SCHEMA}); update workbench to open it"
                )
            return found
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            reason = f"{place}: {first['msg']}" if place else first["msg"]
            raise Unreadable(f"it is damaged ({reason})") from error

    def write(self, path: Path) -> None:
        """Replace the document at `path` durably.

        Raises:
            WorkbenchError: the system refused.
        """
        write_durably(path, self.model_dump_json(by_alias=True, indent=1).encode() + b"\n")


class SessionInfo(Document):
    """What is true of a whole session."""

    name: str
    """As it was created; the folder's name is the one that counts."""
    created: AwareDatetime
    model: ModelInfo
    """The model every number of the session comes from."""
    seed: int
    note: str = ""
    """What the user wants to remember of it."""


class StepState(Document):
    """The little of a step that a list of sessions needs."""

    kind: str
    state: RecordedState


class StepInfo(StepState):
    """A step as it was asked for, and how far it got."""

    id: str = Field(default="", pattern="^[A-Za-z0-9_-]{0,64}$")
    """What the step is known by from the moment it is asked for; older records have none."""
    params: dict[str, Any]
    """The step's own JSON."""
    edition: int = Field(default=1, ge=1)
    """Of the method whose definitions the step was computed by; records did not always say."""
    started: AwareDatetime
    seconds: float = Field(default=0.0, ge=0)
    """Time worked on it, over all resumptions."""
    error: str | None = None
    """Why it failed, in one line."""
    expected: int = Field(ge=0)
    """Rows there will be when it is done."""
    baseline: dict[str, Any] = {}
    """What the rows are compared with."""
    note: str = ""
    """What the user wants to remember of it."""


class SessionWriter(Document):
    """Who writes a session, for the message to whoever wants to write it too."""

    pid: int
    host: str
    since: AwareDatetime

    def __str__(self) -> str:
        where = "" if self.host == platform.node() else f" on {self.host}"
        return f"process {self.pid}{where} since {self.since:%Y-%m-%d %H:%M} UTC"


class ViewDocument(Document):
    """How a step was looked at: what was under the cursor, marked, sorted by, filtered.

    A view is a convenience and no measurement. One that is missing or cannot be read is an empty
    one, and whoever shows it takes from it only what fits the rows.
    """

    view: View


class Desk(Document):
    """How a session was left, so that it is found that way: nothing that was measured."""

    step: str = ""
    """Name of the step that was looked at last, as `003-cna`; empty: nobody knows."""
    staged: tuple[str, ...] = ()
    """The staged changes, each as a user types it: `L20H8`, `L24N1493=0.5`."""
    in_use: bool = False
    """Every analysis runs on the variant that the staged changes make."""

    @field_validator("staged")
    @classmethod
    def _are_changes(cls, staged: tuple[str, ...]) -> tuple[str, ...]:
        Changes.parse(staged)
        return staged

    @property
    def changes(self) -> Changes:
        """The staged changes."""
        return Changes.parse(self.staged)


def checked_note(text: str) -> str:
    """The text of a note as it is kept: without blanks around it, its lines ended one way.

    Raises:
        InputError: it is too long, or holds what is no text.
    """
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if len(text) > MAX_NOTE:
        raise InputError(f"a note has up to {MAX_NOTE:,} characters, this one {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("a note is text in UTF-8, and this is not") from error
    return text


def now() -> datetime:
    """The present moment in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
