"""What the program has said, kept to be read again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime

MOST = 200
"""Notices that are kept."""


@dataclass
class Notice:
    """Something the program said."""

    text: str
    title: str
    severity: str
    until: float
    """When it goes out of sight, by the clock of `time.monotonic`."""
    at: datetime = field(default_factory=datetime.now)
    count: int = 1
    """How often it was said, one after the other."""


class Notices:
    """What was said so far, the latest last."""

    def __init__(self) -> None:
        self.kept: list[Notice] = []

    def add(self, text: str, title: str, severity: str, seconds: float) -> str:
        """Keep a notice; the same again is counted.

        Returns:
            What stands over it: its title, how often it was said, and how many others are in sight.
        """
        now = time.monotonic()
        notice = self.kept[-1] if self.kept else None
        if notice is not None and (notice.text, notice.title) == (text, title):
            again = notice.until > now
            notice.count, notice.at, notice.until = notice.count + 1, datetime.now(), now + seconds
        else:
            again = False
            notice = Notice(text, title, severity, now + seconds)
            self.kept = [*self.kept, notice][-MOST:]
        others = sum(each.until > now for each in self.kept) - 1
        more = f"{others} more: <app.notices> lists them" if others else ""
        return " · ".join(filter(None, (title, f"× {notice.count}" if again else "", more)))
