"""Tables being measured in the terminal UI: each wants steps, which run as ordinary jobs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from analysis.errors import WorkbenchError
from analysis.paper.measuring import Measuring
from analysis.paper.outcome import Found
from analysis.step import Step, Work
from analysis.steps import TableStep
from screens.workspace import Result, State, Workspace

Submit: TypeAlias = Callable[[Result, Work | None], None]
"""Runs a result's step as a job; with work, the step is bound already."""


class TableRuns:
    """Measures tables one after the other. It lives on the app's thread and computes no step.

    Args:
        workspace: where finished steps are found, and where results are put.
        submit: runs a job.
        failed: told why a table cannot be measured.
    """

    def __init__(self, workspace: Workspace, submit: Submit, failed: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._submit = submit
        self._failed = failed
        self._waiting: deque[Result] = deque()
        self._measuring: Measuring | None = None

    @property
    def current(self) -> Result | None:
        """The table being measured."""
        return self._find(self._waiting[0].step) if self._waiting else None

    def add(self, result: Result) -> None:
        """Measure a table when the ones before it are done."""
        self._waiting.append(result)
        if len(self._waiting) == 1:
            self._begin()

    def ended(self, result: Result) -> None:
        """A step came to its end; go on if it is the one waited for."""
        table = self.current
        if table is None or self._measuring is None:
            return
        if result.step == table.step:
            self._next()
        elif result.step == self._measuring.wanted:
            if result.state == "done":
                self._answer(result)
            else:
                self.stop(result.error)

    def stop(self, reason: str | None = None) -> list[Result]:
        """Give up the tables that are not finished.

        Returns:
            The steps under way for them, to be stopped too.
        """
        wanted = self._measuring.wanted if self._measuring else None
        self._measuring = None
        for each in self._waiting:
            if (table := self._find(each.step)) is not None:
                state: State = "failed" if reason else "stopped"
                self._workspace.put(replace(table, state=state, error=reason))
        self._waiting.clear()
        return [each for each in self._workspace.results if each.active and each.step == wanted]

    def _begin(self) -> None:
        table = self._waiting[0]
        assert isinstance(table.step, TableStep)
        try:
            self._measuring = Measuring(table.step)
        except WorkbenchError as error:
            self._failed(str(error))
            self._workspace.put(replace(table, state="failed", error=str(error)))
            self._next()
            return
        self._go_on()

    def _next(self) -> None:
        self._measuring = None
        self._waiting.popleft()
        if self._waiting:
            self._begin()

    def _answer(self, result: Result) -> None:
        assert self._measuring is not None
        rows = result.step.ranked(result.rows)
        self._measuring.answer(Found(result.step, rows, result.baseline))
        self._go_on()

    def _go_on(self) -> None:
        """Have the wanted step run unless it is there; with an outcome, record the table."""
        measuring = self._measuring
        assert measuring is not None
        if measuring.outcome is not None:
            table = self.current
            assert table is not None
            self._submit(table, measuring.table.measured(measuring.outcome))
            return
        assert measuring.wanted is not None
        known = self._find(measuring.wanted)
        if known is not None and known.state == "done":
            self._answer(known)
        elif known is None or not known.active:
            self._submit(known or Result.queued(measuring.wanted), None)

    def _find(self, step: Step) -> Result | None:
        """The latest result of a step, a finished one before others."""
        same = [each for each in self._workspace.results if each.step == step]
        finished = [each for each in same if each.state == "done"]
        return next(iter((finished or same)[::-1]), None)
