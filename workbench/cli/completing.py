"""What a shell offers at `tab`: names that are found without loading anything heavy."""

from __future__ import annotations

from collections.abc import Iterable


def sessions(incomplete: str) -> list[str]:
    """One's own sessions by name."""
    from sessions import root
    from sessions.paths import names_in

    return _beginning(incomplete, names_in(root()))


def recorded(incomplete: str) -> list[str]:
    """One's own sessions, and those that come with the program."""
    from sessions import examples_root
    from sessions.paths import names_in

    examples = [f"example:{name}" for name in names_in(examples_root())]
    return sessions(incomplete) + _beginning(incomplete, examples)


def models(incomplete: str) -> list[str]:
    """Models of the catalogue, and those that were converted."""
    from workbench.models import catalogue

    return _beginning(incomplete, [each.name for each in catalogue()])


def tasks(incomplete: str) -> list[str]:
    """Built-in tasks, also behind a comma."""
    from analysis.tasks.standard import TASKS

    return _listed(incomplete, TASKS)


def tables(incomplete: str) -> list[str]:
    """Tables of the paper, also behind a comma."""
    from analysis.paper.registry import TABLES

    return _listed(incomplete, TABLES)


def dtypes(incomplete: str) -> list[str]:
    """Types that weights are computed in."""
    return _beginning(incomplete, ("float32", "bfloat16", "float16"))


def modes(incomplete: str) -> list[str]:
    """What a head is replaced by."""
    return _beginning(incomplete, ("zero", "mean"))


def _beginning(text: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(text)]


def _listed(text: str, names: Iterable[str]) -> list[str]:
    """Names for the last part of a list joined by commas, each with what stands before it."""
    before, comma, last = text.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(last, names) if name not in given]
