"""Model folders in the cache: made aside, recorded, renamed into place, checked.

A folder under its final name is always whole. `workbench.json` inside says what it was made of
and lists every file with its hash.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from analysis.errors import WorkbenchError
from analysis.folders import put_in_place
from analysis.progress import checkpoint
from workbench.settings import cache_dir, models_dir

MANIFEST = "workbench.json"
Progress = Callable[[str], None]


class FileRecord(BaseModel):
    """Size and hash of one file."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


EDITION = 2
"""Of the rules for converting: raised when a file that was converted before comes out different."""


class Manifest(BaseModel):
    """What a model folder in the cache was made of."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1] = 1
    name: str
    source: str
    source_sha256: str
    licence: str
    parameters: int | None = None
    made_with: dict[str, str] = {}
    """Versions of the libraries that converted it."""
    edition: int = 1
    """Of the rules it was converted by."""
    files: dict[str, FileRecord] = {}


def read_manifest(folder: Path) -> Manifest | None:
    """The record of a model folder, or None if it has no readable one."""
    try:
        return Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def is_whole(folder: Path, source_sha256: str) -> bool:
    """Quick check: made from that source, and every file there at its recorded size."""
    manifest = read_manifest(folder)
    if manifest is None or manifest.source_sha256 != source_sha256:
        return False
    try:
        return all(
            (folder / name).stat().st_size == record.bytes
            for name, record in manifest.files.items()
        )
    except OSError:
        return False


def verify(folder: Path) -> list[str]:
    """Thorough check: names of the files that are missing or differ from their recorded hash."""
    manifest = read_manifest(folder)
    if manifest is None:
        return [MANIFEST]
    return [
        name
        for name, record in manifest.files.items()
        if not (folder / name).is_file() or sha256_of(folder / name) != record.sha256
    ]


def find_by_source(source_sha256: str) -> Path | None:
    """A whole model folder made from the file of that hash by today's rules, if there is one."""
    for folder in model_folders():
        manifest = read_manifest(folder)
        if manifest and manifest.edition == EDITION and is_whole(folder, source_sha256):
            return folder
    return None


def model_folders() -> list[Path]:
    """Folders of the cache that carry a record, by name."""
    try:
        folders = sorted(models_dir().iterdir())
    except OSError:
        return []
    return [
        each for each in folders if not each.name.startswith(".") and (each / MANIFEST).exists()
    ]


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, stopping when the work is cancelled."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 22):
            checkpoint()
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def locked(name: str, progress: Progress) -> Iterator[None]:
    """Hold the lock of one model, so that two processes do not fetch it at once."""
    locks = cache_dir() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{name}.lock")
    said = False
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            checkpoint()
            if not said:
                progress(f"waiting: another workbench is fetching {name}")
                said = True
    try:
        yield
    finally:
        lock.release()


@contextmanager
def workspace(name: str) -> Iterator[Path]:
    """A fresh folder beside the models, gone afterwards. To be used under the model's lock.

    Leftovers of attempts that were killed are swept first.
    """
    models = models_dir()
    models.mkdir(parents=True, exist_ok=True)
    for leftover in models.glob(f".{name}-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=models))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(made: Path, final: Path, manifest: Manifest) -> Path:
    """Record a finished folder's files and give it its final name in one rename."""
    files = {
        each.name: FileRecord(bytes=each.stat().st_size, sha256=sha256_of(each))
        for each in sorted(made.iterdir())
    }
    record = manifest.model_copy(update={"files": files})
    (made / MANIFEST).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    put_in_place(made, final)  # what is there is damaged, or was made from another source
    return final


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn a full or read-only disk into one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error).strip().split("\n")[0]
        raise WorkbenchError(f"cannot {what} in {cache_dir()}: {reason}") from error
