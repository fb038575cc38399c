"""What a shell offers at `tab`: names that are found without loading anything heavy."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from analysis.options import Option


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


def dtypes(incomplete: str) -> list[str]:
    """Types that weights are computed in."""
    return _beginning(incomplete, ("float32", "bfloat16", "float16"))


def offering(option: Option) -> Callable[[str], list[str]] | None:
    """What a shell offers for an option of a step; also behind a comma where it takes several."""
    if option.names is tuple:
        return None
    among = _listed if option.listed else _beginning
    return lambda incomplete: among(incomplete, option.names())


def _beginning(text: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(text)]


def _listed(text: str, names: Iterable[str]) -> list[str]:
    """Names for the last part of a list joined by commas, each with what stands before it."""
    before, comma, last = text.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(last, names) if name not in given]
