"""A step on disk: what was asked, how far it got, and its rows."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

# Both fill the registry that parse_step looks kinds up in.
import analysis.paper.table
import analysis.steps  # noqa: F401
from analysis.columns import schema
from analysis.errors import WorkbenchError
from analysis.step import EDITIONS, Found, Step, parse_step
from sessions.documents import FoundState, StepInfo
from sessions.files import Unreadable, folder_usage, signature
from sessions.parts import (
    ESTIMATES_FILE,
    PartFile,
    check_part,
    count_rows,
    list_parts,
    looks_whole,
    part_path,
    read_estimates,
    read_rows,
    write_frame,
)

STEP_FILE = "step.json"
FILES_FOLDER = "files"
"""What a step produces beside rows, as adapters. Sessions keep and count it, and never read it."""
FOLDER_NAME = re.compile(r"(\d{3,6})-([a-z0-9_-]{1,60})")
MAX_MERGED_BYTES = 256 * 2**20
"""Larger steps stay in parts: merging holds all rows in memory, and they have few small files."""

_ATTEMPTS = 5


class RecordedStep:
    """One step of a session. Every property looks at the disk, so a follower sees it grow."""

    def __init__(
        self, folder: Path, is_written: Callable[[], bool], notice: Callable[[str], None]
    ) -> None:
        """Look at the step in `folder`.

        Args:
            folder: the step's folder, named like `003-cna`.
            is_written: whether somebody is writing the session at this moment.
            notice: is told, in one line, of everything that had to be set aside.

        Raises:
            WorkbenchError: the step cannot be read.
        """
        self.folder = folder
        self.id = folder.name
        """Name of the folder, `003-cna`."""
        self.index = int(folder.name.partition("-")[0])
        """Place in the session, from 1."""
        self._is_written = is_written
        self._notice = notice
        self._verdicts: dict[PartFile, tuple[tuple[int, ...] | None, str | None]] = {}
        self._read()

    def __repr__(self) -> str:
        return f"<RecordedStep {self.id}>"

    @property
    def address(self) -> str:
        """What it is known by, from asking to replay: its id, or of an old one its folder."""
        return self._info.id or str(self.folder)

    @property
    def info(self) -> StepInfo:
        """The step's record; a step that nobody works on any more reads as interrupted."""
        if signature(self.folder / STEP_FILE) != self._signature:
            try:
                self._read()
            except WorkbenchError as error:
                self._notice(f"{self.id}/{STEP_FILE} is set aside: {error}")
        if self._info.state == "running" and not self._is_written():
            # Read first, asked second: the writer may have finished in between.
            try:
                self._read()
            except WorkbenchError as error:
                self._notice(f"{self.id}/{STEP_FILE} is set aside: {error}")
            if self._info.state == "running":
                return self._info.model_copy(update={"state": "interrupted"})
        return self._info

    @property
    def state(self) -> FoundState:
        """What the record says, unless rows of a finished step are lost; looks at every byte.

        A part that cannot be read is no loss where another one has its rows, as after `record`
        went on with a damaged step.
        """
        info = self.info
        if info.state != "done" or self.done_rows >= info.expected:
            return info.state
        parts = self._parts()
        unread = [part for part in parts if self._verdicts.get(part, (None, None))[1] is not None]
        return info.state if parts and not unread else "damaged"

    @property
    def listed_state(self) -> FoundState:
        """The same, quick: finds parts that are gone or cut short, and no flipped bits."""
        info = self.info
        return info.state if info.state != "done" or looks_whole(self.folder) else self.state

    @property
    def step(self) -> Step:
        """The step itself, ready to be run again."""
        return self._step

    @property
    def outdated(self) -> str:
        """Why its numbers mean something else than the same step's now; empty where they do not."""
        made, current = self.info.edition, self._step.edition
        if made == current:
            return ""
        if made > current:
            return f"computed by edition {made} of the method; this workbench knows {current}"
        changed = "; ".join(EDITIONS[each] for each in range(made + 1, current + 1))
        return f"computed by edition {made} of the method; since then {changed}"

    def rows(self) -> pl.DataFrame:
        """All rows on disk in the order they were found, with the step's declared columns."""
        return self._rows(list(schema(self._step.columns)))

    def found(self) -> Found:
        """What it found, for a step that asked for it."""
        return Found(self._step, self._step.ranked(self.rows()), self.info.baseline)

    def keys(self) -> set[str]:
        """The keys of the rows on disk."""
        column = self._rows([self._step.key])[self._step.key]
        return set(column.drop_nulls().cast(pl.String).to_list())

    @property
    def done_rows(self) -> int:
        """How many rows are on disk."""
        return self._rows([self._step.key]).height

    @property
    def listed_rows(self) -> int:
        """How many rows its files say they hold: quick, and nothing of them is checked.

        Where they cannot be told apart so simply, the rows are counted as `done_rows` does.
        """
        parts = self._parts()
        rows = count_rows(parts[0]) if len(parts) == 1 else None
        return self.done_rows if rows is None else rows

    def estimates(self) -> pl.DataFrame | None:
        """The first-order values recorded when the step started, if it has any."""
        path = self.folder / ESTIMATES_FILE
        if signature(path) is None:
            return None
        try:
            return read_estimates(path)
        except (Unreadable, FileNotFoundError) as error:
            self._notice(f"{self.id}/{path.name} is set aside: {error}")
            return None

    @property
    def files(self) -> Path | None:
        """The folder of what the step produced beside rows, if it did."""
        folder = self.folder / FILES_FOLDER
        return folder if folder.is_dir() and not folder.is_symlink() else None

    @property
    def size_bytes(self) -> int:
        """What the step takes on disk, its files included."""
        return folder_usage(self.folder)[0]

    def readable_parts(self) -> list[PartFile]:
        """The parts that passed the check; a notice tells of each of the others."""
        readable = []
        for part in self._parts():
            seen = signature(part.path)
            verdict = self._verdicts.get(part)
            if verdict is None or verdict[0] != seen:
                try:
                    check_part(part.path, self._step.columns)
                    verdict = (seen, None)
                except (Unreadable, FileNotFoundError) as error:
                    if signature(part.path) is None:
                        # Merged into another part since the folder was listed.
                        raise FileNotFoundError(part.path) from error
                    verdict = (seen, str(error))
                self._verdicts[part] = verdict
            if verdict[1] is None:
                readable.append(part)
            else:
                self._notice(f"{self.id}/{part.path.name} is set aside: {verdict[1]}")
        return readable

    def compact(self) -> None:
        """Merge the many small parts of a finished step into its first one.

        The merged file holds all rows and takes the first part's place in one rename. Only then
        the other parts go. A crash in between leaves some of them beside it with rows it has too,
        and of rows with the same key one counts, so at every moment a reader finds each row once
        and in the same order. A part that cannot be read stays where it is, and then so do all.
        """
        parts = list_parts(self.folder)
        size = sum((signature(part.path) or (0, 0))[1] for part in parts)
        if len(parts) < 2 or size > MAX_MERGED_BYTES:
            return
        try:
            if self.readable_parts() != parts:
                return
            write_frame(part_path(self.folder, 0), self.rows())
        except (WorkbenchError, OSError):
            # The rows are safe as they are; tidying can wait for a disk with more room.
            return
        for part in parts:
            if part.number != 0:
                with contextlib.suppress(OSError):
                    part.path.unlink()

    def _rows(self, columns: Sequence[str]) -> pl.DataFrame:
        for _ in range(_ATTEMPTS):
            try:
                return self._read_checked(columns)
            except FileNotFoundError:
                continue
        raise WorkbenchError(f"step {self.id} keeps changing on disk; try again")

    def _read_checked(self, columns: Sequence[str]) -> pl.DataFrame:
        declared = schema(self._step.columns)
        while parts := self.readable_parts():
            try:
                return read_rows(parts, declared, columns, self._step.key)
            except Unreadable:
                self._set_aside_unreadable(parts, columns)
        return pl.DataFrame(schema={name: declared[name] for name in columns})

    def _set_aside_unreadable(self, parts: Sequence[PartFile], columns: Sequence[str]) -> None:
        """Find the parts that pass the check and yet cannot be read: only forged ones do."""
        found = False
        declared = schema(self._step.columns)
        for part in parts:
            try:
                read_rows([part], declared, columns, self._step.key)
            except Unreadable as error:
                found = True
                self._verdicts[part] = (signature(part.path), str(error))
        if not found:
            raise WorkbenchError(f"the parts of step {self.id} cannot be read together")

    def _parts(self) -> list[PartFile]:
        try:
            return list_parts(self.folder)
        except OSError as error:
            raise WorkbenchError(
                f"cannot read step {self.id}: {error.strerror or error}"
            ) from error

    def _read(self) -> None:
        path = self.folder / STEP_FILE
        seen = signature(path)
        try:
            info = StepInfo.read(path)
            step = parse_step(info.params)
            if step.kind != info.kind:
                raise Unreadable(f"it is damaged (kind {info.kind} with parameters of {step.kind})")
            self._info, self._step = info, step
        finally:
            # Last: another thread that finds the file unchanged takes what was read of it.
            self._signature = seen
