"""Writing a model, changed or not, to a folder: made aside, made durable, renamed into place.

A folder under its final name is always whole. What an export that was killed left beside it is
swept by the next one.
"""

from __future__ import annotations

import glob
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from analysis.changes import Changes
from analysis.errors import InputError, WorkbenchError
from analysis.folders import as_open_as_its_folder, check_new_folder, sync
from sessions.documents import now
from sessions.provenance import MASK, PROVENANCE, Format, Provenance

if TYPE_CHECKING:
    from analysis.model.model import Model
    from workbench.settings import Settings

ROOM = 16 * 2**20
"""Bytes of an export beside its weights, at most: config and tokenizer."""


@dataclass(frozen=True)
class Export:
    """What to write, and what to say of it."""

    folder: Path
    format: Format
    changes: Changes
    adapter: Path | None = None
    """The adapter that the model wears."""
    session: str | None = None
    measured: tuple[dict[str, Any], ...] = field(default=())
    """Rows of the evaluation of the changes."""
    dtype: str | None = None
    """What the weights of a model folder are stored in; None: what the model is loaded in."""

    def __post_init__(self) -> None:
        """Refuse, before a model is loaded, what cannot be exported.

        Raises:
            InputError: says why not.
        """
        if self.format == "adapter" and self.adapter is None:
            raise InputError("the model wears no adapter; give one with --adapter DIR")
        if self.format == "adapter" and self.changes:
            raise InputError(
                f"an adapter cannot hold changes of heads and neurons ({self.changes}); "
                "use --format hf, which merges both, or --format mask"
            )
        if not self.changes and self.format == "mask":
            raise InputError(
                "nothing is changed, and a mask holds changes alone; name heads and neurons with "
                "--change L20H8, or a session that has changes with --session NAME"
            )
        check_new_folder(self.folder)


def check_allowed(settings: Settings, what: str = "exported") -> None:
    """Refuse to change a model where the settings say read-only.

    Raises:
        InputError: they do; names what is not done.
    """
    if settings.readonly:
        raise InputError(f"the workbench is read-only (setting readonly): nothing is {what}")


def export(
    model: Model, what: Export, progress: Callable[[str], None] = lambda text: None
) -> Provenance:
    """Write an export and its provenance.

    Args:
        model: the model, as it is loaded.
        what: what to write.
        progress: told in a few words what is going on.

    Returns:
        What the provenance says.

    Raises:
        InputError: the model cannot be exported so, or a part is not in it.
        WorkbenchError: the disk is full, or the system refused.
    """
    for each in what.changes.interventions:
        model.info.check_parts(each)
    check_new_folder(what.folder)
    _check_apart_from_base(what.folder, model)
    record = Provenance(
        changes=what.changes.texts,
        format=what.format,
        dtype=(what.dtype or model.info.dtype) if what.format == "hf" else None,
        exported=now(),
        base=model.info,
        session=what.session,
        measured=what.measured,
    )
    try:
        with _made_aside(what.folder) as folder:
            progress(f"writing {what.folder.name} ({what.format})")
            _write(model, what, folder)
            record.write(folder / (MASK if what.format == "mask" else PROVENANCE))
    except OSError as error:
        reason = error.strerror or str(error).strip().split("\n")[0]
        raise WorkbenchError(f"cannot write {what.folder}: {reason}") from error
    return record


def _write(model: Model, what: Export, folder: Path) -> None:
    """The files of an export but for its provenance."""
    if what.format == "hf":
        from analysis.changing.saving import edited_weights, save_weights, size_of, stored_as
        from analysis.model.loading import DTYPES
        from workbench.quiet import quiet_libraries

        state = edited_weights(model, what.changes)
        if what.dtype is not None:
            state = stored_as(state, DTYPES[what.dtype])
        _check_room(folder, size_of(state) + ROOM)
        with quiet_libraries():
            save_weights(model, state, folder)
    elif what.format == "adapter":
        from analysis.model.adapters import CONFIG, WEIGHTS, adapter_sha256

        assert what.adapter is not None
        files = [what.adapter / name for name in (CONFIG, WEIGHTS)]
        _check_room(folder, sum(each.stat().st_size for each in files) + ROOM)
        for each in files:
            shutil.copyfile(each, folder / each.name)
        if adapter_sha256(folder) != model.info.adapter_sha256:
            raise InputError(f"{what.adapter.name} is not the adapter that the model wears")


def _check_room(folder: Path, needed: int) -> None:
    """Raise WorkbenchError unless the disk has so many bytes left."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WorkbenchError(
            f"the export needs {needed / 1e9:.2f} GB on disk, {free / 1e9:.2f} GB are free there"
        )


def _check_apart_from_base(folder: Path, model: Model) -> None:
    """Raise InputError where the folder lies in that of the model itself."""
    base = Path(model.hf.name_or_path or "/nowhere").resolve()
    final = folder.resolve()
    if base.is_dir() and (final == base or base in final.parents):
        raise InputError(f"{folder} lies in the folder of the model itself; name another one")


@contextmanager
def _made_aside(final: Path) -> Iterator[Path]:
    """A fresh folder beside the final one, which takes its name if the block ends well."""
    final = final.resolve()
    _sweep(final)
    folder = final.with_name(f"{_aside(final)}{os.getpid()}")
    folder.mkdir()
    try:
        yield folder
        as_open_as_its_folder(folder)
        for each in folder.rglob("*"):
            sync(each)
        sync(folder)
        # Only an empty folder lets itself be replaced: whatever came meanwhile stays.
        folder.rename(final)
        sync(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _aside(final: Path) -> str:
    return f".{final.name}.exporting-{platform.node()}-"


def _sweep(final: Path) -> None:
    """Remove what exports to the same folder left behind that were killed on this machine."""
    prefix = _aside(final)
    for leftover in final.parent.glob(f"{glob.escape(prefix)}*"):
        process = leftover.name.removeprefix(prefix)
        if process.isdecimal() and not psutil.pid_exists(int(process)):
            shutil.rmtree(leftover, ignore_errors=True)
