"""Escape and another key that come at once: two keys, which a terminal sends as it sends alt.

Textual reads some of them as signs (`¢`), waits for more behind others, and forgets that escape was
there; also over a slow line, and in tmux, which sends both together.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual._xterm_parser import XTermParser
from textual.events import Key

_ESCAPE = "\x1b"
_BEGIN_MORE = "[O\x7f"
"""After escape these begin what a terminal sends for other keys, or are such a key."""
_plain = XTermParser._sequence_to_key_events


def _events(parser: XTermParser, sequence: str, alt: bool = False) -> Iterable[Key]:
    """The keys of a sequence; one right behind escape has `alt+` before its name."""
    if len(sequence) == 2 and sequence[0] == _ESCAPE and sequence[1] not in _BEGIN_MORE + _ESCAPE:
        sequence, alt = sequence[1], True
    for event in _plain(parser, sequence, alt):
        known = not alt or event.key.startswith("alt+")
        yield event if known else Key(f"alt+{event.key}", event.character)


def tell_escape_apart() -> None:
    """Have the terminal's input read that way."""
    XTermParser._sequence_to_key_events = _events  # type: ignore[assignment, method-assign]


def key_after_escape(event: Key) -> Key | None:
    """The key that came with escape at once; None: it is a key like all others."""
    if not event.key.startswith("alt+") or not (char := event.character):
        return None
    return Key(char if char.isalnum() else event.key.removeprefix("alt+"), char)
