"""The base of the widgets' messages."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.message import Message
from textual.widget import Widget

Teller = TypeVar("Teller", bound=Widget)


class Told(Message, Generic[Teller]):
    """Something happened in a widget, which `control` names for handlers with a selector."""

    def __init__(self, teller: Teller) -> None:
        super().__init__()
        self._teller = teller

    @property
    def control(self) -> Teller:
        """The widget it happened in."""
        return self._teller
