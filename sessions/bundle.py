"""A session in one file, to be handed on; and such a file made a session again, safely.

A bundle is a zip of one folder named like the session. Of what is in it only the files that a
session is made of are unpacked, aside, and the name is taken when all of it is there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.errors import InputError, WorkbenchError
from analysis.folders import NameTaken, file_aside, written_aside
from sessions import paths
from sessions.documents import DESK_FILE, SessionInfo
from sessions.files import MAX_JSON_BYTES, MAX_PART_BYTES, Unreadable, open_plain, writing
from sessions.lock import WRITER_FILE
from sessions.recorded import FILES_FOLDER, STEP_FILE
from sessions.session import SESSION_FILE, Session

MAX_FILES = 100_000
MAX_BYTES = 64 * 2**30
"""Of all files of a bundle, unpacked."""
MAX_RATIO = 200
"""Bytes out of one byte: sessions come to a tenth of that."""

_NAME = r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?"
_STEP = r"[0-9]{3,6}-[a-z0-9_-]{1,60}"
_MEMBER = re.compile(
    rf"{re.escape(SESSION_FILE)}|{re.escape(DESK_FILE)}"
    rf"|{_STEP}/(?:{re.escape(STEP_FILE)}|estimates\.parquet|part-[0-9]{{5,9}}\.parquet|view\.json)"
    rf"|{_STEP}/{FILES_FOLDER}/(?:{_NAME}/){{0,3}}{_NAME}\.(?:json|safetensors)"
)
"""Every file a session is made of: nothing that could run."""
_SMALL = 2**20
"""Bytes below which no ratio is suspicious."""
_ATTEMPTS = 5


def pack(session: Session, path: Path) -> list[str]:
    """Write a session with everything recorded into one zip file, in place of what was there.

    A session that is being written meanwhile is packed as far as it got.

    Args:
        session: which; what is damaged in it is packed as it is.
        path: the file, best ending in `.zip`.

    Returns:
        What lies in its folders and was left out, because no session is made of it.

    Raises:
        InputError: there is no folder to write the file in.
        WorkbenchError: the system refused, or the session keeps changing.
    """
    if not path.absolute().parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    with file_aside(path) as aside:
        return _packed(session, aside)


def unpack(path: Path, root: Path | None = None, name: str | None = None) -> Session:
    """Make the session in a bundle one of the user's, and open it for reading.

    Args:
        path: the bundle.
        root: the folder of sessions, if not the user's own.
        name: what to call it; None: as it was called.

    Raises:
        InputError: the file is no bundle, or holds what no session is made of; or the name
            cannot be used or is taken.
        WorkbenchError: the session in it is damaged or from a newer program, or the system refused.
    """
    base = paths.root(root)
    with _reading(path) as archive:
        called, members = _checked(archive, path.name, path.stat().st_size)
        name = paths.checked_name(name or called)
        if os.path.lexists(base / name):
            raise _taken(name)
        with writing(base):
            base.mkdir(parents=True, exist_ok=True)
            size = sum(member.file_size for member in members.values())
            if size > shutil.disk_usage(base).free:
                raise WorkbenchError(f"{path.name} takes {size / 1e9:.1f} GB, more than is free")
            try:
                with written_aside(base / name, replace=False) as folder:
                    for place, member in members.items():
                        _extract(archive, member, folder / place)
                    _check_opens(folder, path.name)
            except NameTaken:
                raise _taken(name) from None
    return Session.open(base / name)


def _taken(name: str) -> InputError:
    return InputError(f"{paths.name_taken(name)} with --name")


def _packed(session: Session, path: Path) -> list[str]:
    for _ in range(_ATTEMPTS):
        found = _files_of(session.folder)
        chosen = [each for each, is_plain in found.items() if is_plain and _MEMBER.fullmatch(each)]
        try:
            with zipfile.ZipFile(path, "w") as archive:
                for each in chosen:
                    _add(archive, f"{session.name}/{each}", session.folder / each)
        except FileNotFoundError:
            # A part was merged into another one since the folder was listed.
            continue
        return [each for each in found if each not in set(chosen)]
    raise WorkbenchError(f"session {session.name} keeps changing on disk; try again")


def _files_of(folder: Path) -> dict[str, bool]:
    """Files under a session's folder, its record first, and whether each is a plain file.

    Those that exist for a moment only, while it is written, are not among them.
    """
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        for name in sorted(names, key=lambda name: (name != SESSION_FILE, name)):
            if not name.startswith(".") and name != WRITER_FILE:
                path = Path(place, name)
                is_plain = path.is_file() and not path.is_symlink()
                found[path.relative_to(folder).as_posix()] = is_plain
    return found


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    # Without times: the same session makes the same file.
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    # Parquet is compressed already, and weights do not get smaller.
    member.compress_type = zipfile.ZIP_DEFLATED if path.suffix == ".json" else zipfile.ZIP_STORED
    with open_plain(path) as source:
        member.file_size = os.fstat(source.fileno()).st_size
        with archive.open(member, "w", force_zip64=member.file_size >= 2**31) as target:
            shutil.copyfileobj(source, target, 2**20)


@contextmanager
def _reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at `path`; whatever is wrong with it is one line.

    Raises:
        InputError: there is none, or it is damaged.
    """
    try:
        with open_plain(path.resolve()) as file, zipfile.ZipFile(file) as archive:
            yield archive
    except Unreadable as error:
        raise InputError(f"{path.name} is no bundle: {error}") from error
    except WorkbenchError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}") from error
    except (
        # What the library raises on files that were made or damaged to confuse it.
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        NotImplementedError,
        OSError,
        OverflowError,
        RuntimeError,
        ValueError,
    ) as error:
        raise InputError(f"{path.name} is damaged or no bundle ({error})") from error


def _checked(
    archive: zipfile.ZipFile, file: str, size: int
) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """The name of the session in a bundle and its files by their place in it.

    Raises:
        InputError: there is something in it that no session is made of.
    """
    entries = [each for each in archive.infolist() if not each.filename.endswith("/")]
    if len(entries) > MAX_FILES:
        raise InputError(f"{file} holds {len(entries):,} files; a bundle has up to {MAX_FILES:,}")
    called = entries[0].filename.partition("/")[0] if entries else ""
    members: dict[str, zipfile.ZipInfo] = {}
    for each in entries:
        top, _, place = each.filename.partition("/")
        if top != called or _MEMBER.fullmatch(place) is None:
            raise InputError(f"{file} holds {each.filename!r}, which no session is made of")
        if place in members:
            raise InputError(f"{file} holds {each.filename!r} twice")
        if (reason := _suspicious(each)) is not None:
            raise InputError(f"{file}: {each.filename!r} {reason}")
        members[place] = each
    if len({place.casefold() for place in members}) < len(members):
        raise InputError(f"{file} holds names that differ only in their case")
    if SESSION_FILE not in members:
        raise InputError(f"{file} is no bundle: it holds no {SESSION_FILE}")
    if sum(each.compress_size for each in entries) > size:
        raise InputError(f"{file} holds files that lie over one another")
    if sum(each.file_size for each in entries) > MAX_BYTES:
        raise InputError(f"{file} would take more than {MAX_BYTES // 2**30} GiB")
    return called, members


def _suspicious(member: zipfile.ZipInfo) -> str | None:
    """Why a file of a bundle is not unpacked, whatever its name; None if it is."""
    limit = MAX_JSON_BYTES if member.filename.endswith(".json") else MAX_PART_BYTES
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is a link or something else than a plain file"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in another way than bundles are"
    if member.file_size > limit:
        return f"is larger than {limit // 2**20} MiB"
    if member.file_size > max(_SMALL, MAX_RATIO * member.compress_size):
        return f"would grow more than {MAX_RATIO} times"
    return None


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # The library reads no more than the size that was checked, and compares a checksum.
    with archive.open(member) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, 2**20)


def _check_opens(folder: Path, file: str) -> None:
    try:
        SessionInfo.read(folder / SESSION_FILE)
    except Unreadable as error:
        raise WorkbenchError(f"cannot open the session in {file}: {error}") from error
