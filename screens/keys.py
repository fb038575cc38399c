"""The names of actions: by them the settings give an action another key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from textual.binding import Binding, BindingType


def named(scope: str, bindings: Iterable[BindingType]) -> list[BindingType]:
    """Bindings with an id each, made of the scope and what the action is called.

    Args:
        scope: a screen's name, or what several screens share.
        bindings: without ids.

    Returns:
        One binding a key; keys of the same action share its id, as `heads.next-top-head`.
    """
    return [
        replace(each, id=f"{scope}.{_slug(each.description)}")
        for each in Binding.make_bindings(bindings)
    ]


def _slug(words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
