"""Keys act one after the other, also where many come at once: over a slow line, or in tmux.

Textual hands a key on and takes the next one before it has acted, so that a line loses what is
typed right behind the key that opens it, or right before the one that takes it. Of escape and
another key, which a terminal sends as it sends alt, it makes one key or a sign (`¢`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.dom import DOMNode
from textual.events import Key
from textual.message_pump import MessagePump
from textual.timer import Timer
from textual.widgets import Input, TextArea

ESCAPE = "\x1b"
_BEGIN_MORE = "[O\x7f"
"""After escape these begin what a terminal sends for other keys, or are such a key."""
PATIENCE = 0.5
"""Seconds after which a key counts as having acted, where what it went to is gone."""
_plain = XTermParser._sequence_to_key_events


class KeyOrder:
    """Takes the keys of an application and lets each act before the next.

    Args:
        app: the application.
        act: what it does with a key.
    """

    def __init__(self, app: App[Any], act: Callable[[Key], Awaitable[None]]) -> None:
        self._app, self._act = app, act
        self._waiting: deque[Key] = deque()
        self._acting: Key | None = None
        self._typed = False
        """Whether a line has keys that it may not have taken yet."""
        self._timer: Timer | None = None
        tell_escape_apart()

    async def take(self, event: Key) -> None:
        """Have a key act now, or when those before it have."""
        if self._acting is not None:
            self._waiting.append(event)
            return
        behind = _behind_escape(event)
        if behind is not None and event.key not in self._app.screen.active_bindings:
            self._waiting.appendleft(behind)
            event = Key("escape", ESCAPE)
        if event.is_printable and isinstance(self._app.focused, Input | TextArea):
            self._typed = True  # a line takes what is typed in its order
            await self._act(event)
            return
        self._acting = event
        self._timer = self._app.set_timer(PATIENCE, partial(self._next, event))
        if self._typed:
            self._typed = False
            self._follow(self._way, partial(self._let_act, event))
        else:
            await self._let_act(event)

    async def _let_act(self, event: Key) -> None:
        way = self._way
        try:
            await self._act(event)
        finally:
            self._follow(way, partial(self._settle, event))

    @property
    def _way(self) -> list[DOMNode]:
        """What a key goes through, up to the application, which acts last."""
        return (self._app.focused or self._app.screen).ancestors_with_self

    def _settle(self, event: Key) -> None:
        """Wait until a screen that came to the front has the keys."""
        self._follow([self._app.screen, self._app], partial(self._next, event))

    def _follow(self, nodes: Sequence[MessagePump], then: Callable[[], Any]) -> None:
        """Go through what these have to do yet, one after the other, and then do something."""
        if not nodes:
            self._app.call_later(then)
        elif not nodes[0].call_later(self._follow, nodes[1:], then):  # it is being closed
            self._follow(nodes[1:], then)

    async def _next(self, acted: Key) -> None:
        """Take the key behind one that has acted, or that is not waited for any longer."""
        if acted is not self._acting or self._timer is None:
            return
        self._timer.stop()
        self._acting = None
        while self._waiting and self._acting is None:
            await self.take(self._waiting.popleft())


def _behind_escape(event: Key) -> Key | None:
    """The key that came with escape at once; None: it is a key like all others."""
    if not event.key.startswith("alt+") or not (char := event.character):
        return None
    return Key(char if char.isalnum() else event.key.removeprefix("alt+"), char)


def _events(parser: XTermParser, sequence: str, alt: bool = False) -> Iterable[Key]:
    """The keys of a sequence; one right behind escape has `alt+` before its name."""
    if len(sequence) == 2 and sequence[0] == ESCAPE and sequence[1] not in _BEGIN_MORE + ESCAPE:
        sequence, alt = sequence[1], True
    for event in _plain(parser, sequence, alt):
        known = not alt or event.key.startswith("alt+")
        yield event if known else Key(f"alt+{event.key}", event.character)


def tell_escape_apart() -> None:
    """Have the terminal's input read that way."""
    XTermParser._sequence_to_key_events = _events  # type: ignore[assignment, method-assign]
