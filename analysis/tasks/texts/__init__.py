"""Texts to measure perplexity on: one of ours, and the user's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from analysis.errors import InputError

MAX_BYTES = 4 * 2**20
"""Of a text file; it is kept whole in the record."""


class Text(BaseModel):
    """Some running text, kept in the record so that it can be measured again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    text: str = Field(min_length=1)

    @classmethod
    def sample(cls) -> Text:
        """A page of plain English that comes with the program."""
        return cls(name="sample", text=(files(__name__) / "sample.txt").read_text("utf-8"))

    @classmethod
    def read(cls, path: Path) -> Text:
        """A text file of the user's.

        Raises:
            InputError: it cannot be read, is empty, or is larger than `MAX_BYTES`.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise InputError(f"cannot read text {path.name}: {error.strerror}") from error
        if len(data) > MAX_BYTES:
            raise InputError(f"text {path.name} is larger than {MAX_BYTES // 2**20} MiB; take less")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"cannot read text {path.name}: it is not UTF-8 text") from error
        if not text.strip():
            raise InputError(f"text {path.name} is empty")
        return cls(name=path.stem, text=text)
