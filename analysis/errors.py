"""The small family of errors the whole project raises on purpose.

Each carries one clear line for the user. Whoever catches it decides how to show it: the command
line prints it and picks the exit code, a screen turns it into a notice.
"""

from __future__ import annotations

from copy import copy
from typing import Self


class WorkbenchError(Exception):
    """Something went wrong that the user can understand: shown as one line, exit code 1."""


class InputError(WorkbenchError, ValueError):
    """The user's input cannot be used: says what was wrong and what would be right, exit code 2."""

    def said_of(self, what: str) -> Self:
        """The same error, which begins with what it is about: an option, a case of a task."""
        error = copy(self)
        error.args = (f"{what}: {self}",)
        return error


def first_line(error: BaseException) -> str:
    """The first line of another library's message."""
    return str(error).strip().split("\n")[0]


class Cancelled(WorkbenchError):
    """The work was stopped on request. What was finished is kept."""
