"""Where an export goes, and what may stand there already."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from analysis.errors import InputError

ExportFormat: TypeAlias = Literal["csv", "parquet", "json", "report", "script", "bundle"]

FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
OF_ROWS: tuple[ExportFormat, ...] = ("csv", "parquet", "json")
ENDINGS: dict[str, ExportFormat] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".json": "json",
    ".md": "report",
    ".py": "script",
    ".zip": "bundle",
}
TABLE_ENDINGS = (*(f".{each}" for each in OF_ROWS), ".md")
"""Of files that hold one table."""
REPORT = "report.md"
PICTURES = "pictures"
_OURS = re.compile(r"[0-9]{3,6}-[a-z0-9_-]+\.(csv|parquet|json|svg)")


def table_file(text: str) -> Path:
    """The file for a table, as it is typed: `~` is one's own folder.

    Raises:
        InputError: no table can be written there; says why.
    """
    path = Path(os.path.abspath(os.path.expanduser(text)))
    if not text or path.is_dir():
        raise InputError(f"{text or 'nothing'} is no file; name one, as rows{TABLE_ENDINGS[0]}")
    if path.suffix.lower() not in TABLE_ENDINGS:
        raise InputError(f"{path.name}: end it in {', '.join(TABLE_ENDINGS)}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} to write {path.name} in")
    return path


@dataclass(frozen=True)
class ExportTarget:
    """A file or a folder, and what is written there."""

    path: Path
    format: ExportFormat
    folder: bool
    """Whether it is a folder: a file a step, or a report with its pictures."""

    @classmethod
    def of(cls, path: Path, format: str | None) -> ExportTarget:
        """Read a destination as its ending and `--format` say.

        Raises:
            InputError: they do not go together, or there is no folder to write in.
        """
        path = Path(os.path.abspath(path))
        ending = ENDINGS.get(path.suffix.lower())
        known = ", ".join(ENDINGS)
        if format is not None and format not in FORMATS:
            raise InputError(f"--format {format}: choose {', '.join(FORMATS)}")
        if path.suffix and ending is None and not path.is_dir():
            raise InputError(f"{path.name}: end it in {known}, or name a folder")
        if ending is not None and format not in (None, ending):
            raise InputError(f"{path.name} is the name of a {ending}, not of --format {format}")
        if ending is None and format in ("script", "bundle"):
            wanted = next(name for name, each in ENDINGS.items() if each == format)
            raise InputError(f"a {format} is a file; name one that ends in {wanted}")
        if not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent} to write {path.name} in")
        return cls(path, ending or _format(format), ending is None)

    @property
    def page(self) -> Path:
        """The page of a report."""
        return self.path / REPORT if self.folder else self.path

    @property
    def pictures(self) -> Path:
        """Where the pictures of a report are."""
        if self.folder:
            return self.path / PICTURES
        return self.path.with_name(f"{self.path.stem}-{PICTURES}")

    def check_free(self, force: bool) -> None:
        """Make sure that nothing is written over that should not be.

        Args:
            force: what an earlier export wrote may be replaced; anything else may not.

        Raises:
            InputError: something is there.
        """
        beside = [self.pictures] if self.format == "report" and not self.folder else []
        for each in (self.path, *beside):
            if each.is_symlink():
                raise InputError(f"{each} is a link; name a new place")
            if self.folder or each in beside:
                _check_folder(each, force)
            elif each.is_dir():
                raise InputError(f"{each} is a folder; name a file")
            elif each.exists() and not force:
                raise InputError(f"{each} is there already; --force replaces it")


def _format(text: str | None) -> ExportFormat:
    """The format of a folder."""
    return next((each for each in OF_ROWS if each == text), "report")


def _check_folder(folder: Path, force: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder")
    try:
        foreign = sorted(each.name for each in folder.iterdir() if not _is_ours(each))
        empty = not any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from error
    if foreign:
        raise InputError(f"{folder} holds {foreign[0]}, which no export wrote; name a new folder")
    if not empty and not force:
        raise InputError(f"{folder} is there already; --force replaces it")


def _is_ours(path: Path) -> bool:
    """Whether a file or folder could be of an export."""
    if path.is_symlink():
        return False
    if path.is_dir():
        return path.name == PICTURES and all(_is_ours(each) for each in path.iterdir())
    return path.name == REPORT or _OURS.fullmatch(path.name) is not None
