"""Documents of earlier schemas, brought up to date as they are read.

Raise `SCHEMA` only for a change that an older program would misread: a field that may be missing
needs no new schema. Then add here, for each document that changed, the function that turns one of
the last schema into one of the new; and commit a session of the last schema beside the tests.
Reading never writes: a document is stored in the new schema when it is next written anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

SCHEMA = 1
"""Version of the layout on disk; raised whenever an older program could not read it."""

Migration: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]

MIGRATIONS: dict[tuple[str, int], Migration] = {}
"""By document and schema what makes it one of the next schema: `("step", 1)` is from 1 to 2."""


def migrated(document: str, data: dict[str, Any], version: int) -> dict[str, Any]:
    """A document of schema `version` as one of `SCHEMA`.

    Args:
        document: what it is: `session`, `step`, `writer`, `view` or `changes`.
        data: its JSON, left as it is.
        version: its schema.
    """
    for each in range(version, SCHEMA):
        migrate = MIGRATIONS.get((document, each))
        if migrate is not None:
            data = migrate(data)
    return {**data, "schema": SCHEMA}
