"""Tables of the screens as files: asking where one goes, and writing it there."""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path

import polars as pl

from analysis.errors import InputError
from screens.form import Field, Form
from screens.messages import CopyRequested, RowsRequested
from screens.text import counted
from screens.workspace import Workspace
from workbench.sharing.destination import TABLE_ENDINGS, table_file
from workbench.sharing.rows import write_table
from workbench.shell import Shell

ALL, FILTERED = "all", "filtered"
ENTER_AGAIN = "{} is there already; enter again replaces it, another name leaves it"


class TableFiles:
    """Writes what a screen shows to the file that the user names. Nothing here runs a model.

    Args:
        shell: the program.
        workspace: whose session is at hand, and what was typed before.
    """

    def __init__(self, shell: Shell, workspace: Workspace) -> None:
        self._shell = shell
        self._workspace = workspace

    def ask(self, wanted: RowsRequested) -> None:
        """Ask where to, and write it there."""
        rows, filtered = wanted.rows.height, wanted.filtered
        fields = [Field("file", self._first(wanted), f"Ends in {', '.join(TABLE_ENDINGS)}.")]
        if filtered is not None:
            help = f"{FILTERED}: the {filtered.height:,} that the filter shows; {ALL}: {rows:,}."
            fields.append(Field("which rows", FILTERED, help))
        count = f"{filtered.height:,} of " if filtered is not None else ""
        question = f"Export {count}{counted(rows, 'row')} · {wanted.title}"
        form = Form(question, tuple(fields), partial(self._file, wanted, set()))
        self._shell.push_screen(form, partial(self._write, wanted))

    def _first(self, wanted: RowsRequested) -> str:
        """What the file may be called: in the folder, and of the kind, of the one before."""
        typed, session = self._workspace.typed["rows"], self._workspace.session
        parts = [each.name for each in wanted.results] or [wanted.screen]
        if wanted.results and session is not None:
            parts.insert(0, session.name)
        name = re.sub(r"[^\w.-]+", "-", "-".join(parts)) + typed.get("ending", TABLE_ENDINGS[0])
        return in_home(Path(typed.get("folder") or Path.cwd()) / name)

    def _file(
        self, wanted: RowsRequested, asked: set[Path], values: dict[str, str]
    ) -> tuple[Path, bool]:
        """The file that was named, and whether all rows go there.

        Args:
            wanted: what is written.
            asked: files that were named although they are there; named again they are replaced.
            values: what was typed.

        Raises:
            InputError: no file can be written there, or one that is there would be lost.
        """
        path, rows = table_file(values["file"]), values.get("which rows", ALL)
        if rows not in (ALL, FILTERED):
            raise InputError(f"which rows {rows!r}: {FILTERED} or {ALL}")
        if path.exists() and self._workspace.readonly:
            raise InputError(f"{path.name} is there already, and the workbench is read-only")
        if path.exists() and path not in asked:
            asked.add(path)
            raise InputError(ENTER_AGAIN.format(path.name))
        return path, rows == ALL

    def _write(self, wanted: RowsRequested, chosen: tuple[Path, bool] | None) -> None:
        if chosen is not None:
            path, whole = chosen
            rows = wanted.rows if whole or wanted.filtered is None else wanted.filtered
            self._shell.run_worker(self._written(wanted, rows, path))

    async def _written(self, wanted: RowsRequested, rows: pl.DataFrame, path: Path) -> None:
        with self._shell.said():
            await asyncio.to_thread(write_table, path, rows, wanted.title, wanted.results)
            typed = self._workspace.typed["rows"]
            typed["folder"], typed["ending"] = str(path.parent), path.suffix
            what = f"the path of {counted(rows.height, 'row')} in {in_home(path)}"
            self._shell.post_message(CopyRequested(str(path), what))


def in_home(path: Path) -> str:
    """A path as people type it: `~` for one's own folder."""
    try:
        return str(Path("~") / path.relative_to(Path.home()))
    except ValueError:
        return str(path)
