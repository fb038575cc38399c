"""Writing a model, changed or not, to a folder, which is whole as soon as it has its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.changes import Changes
from analysis.errors import InputError, WorkbenchError
from analysis.folders import check_new_folder, written_aside
from sessions.documents import now
from sessions.provenance import MASK, PROVENANCE, Format, Provenance, measured_in

if TYPE_CHECKING:
    from analysis.model.model import Model
    from sessions import Session
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
    session: Session | None = None
    """Where the changes were measured, if they were."""
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
        progress: called with a few words that say what is going on.

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
        session=None if what.session is None else what.session.address,
        measured=() if what.session is None else measured_in(what.session, what.changes),
    )
    with written_aside(what.folder.resolve(), replace=False) as folder:
        progress(f"writing {what.folder.name} ({what.format})")
        _write(model, what, folder)
        record.write(folder / (MASK if what.format == "mask" else PROVENANCE))
    return record


def _write(model: Model, what: Export, folder: Path) -> None:
    """The files of an export but for its provenance."""
    if what.format == "hf":
        from analysis.changing.saving import edited_weights, save_weights, size_of, stored_as
        from analysis.model.loading import DTYPES
        from workbench.logs import quiet_libraries

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
