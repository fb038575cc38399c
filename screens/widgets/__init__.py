"""The parts the screens are composed of. Each shows data it is given and tells what happens to it
by messages; none knows where the data come from."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.message import Message
from textual.widget import Widget

Sender = TypeVar("Sender", bound=Widget)


class WidgetMessage(Message, Generic[Sender]):
    """Something happened in a widget, which `control` names for handlers with a selector."""

    def __init__(self, sender: Sender) -> None:
        super().__init__()
        self._widget = sender

    @property
    def control(self) -> Sender:
        """The widget it happened in."""
        return self._widget
