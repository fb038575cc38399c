"""The program in a terminal of its own: it paints first, and it leaves when the terminal does."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from waiting import PATIENCE, until

from sessions import list_sessions


@dataclass
class Terminal:
    """A workbench behind a pseudo-terminal."""

    process: subprocess.Popen[bytes]
    outside: int
    seen: bytes = b""

    def until(self, text: str) -> None:
        """Read until the program has drawn a text."""
        while text.encode() not in self.seen:
            part = os.read(self.outside, 65_536)
            assert part, "the program ended"
            self.seen += part

    def press(self, keys: str) -> None:
        os.write(self.outside, keys.encode())


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    """The workbench in a terminal of 80 × 24, killed if the block leaves it running."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
    process = subprocess.Popen(
        [sys.executable, "-m", "workbench", *arguments],
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=environment,
        start_new_session=True,
    )
    os.close(inside)
    try:
        yield Terminal(process, outside)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("how", ["hang up", "SIGHUP", "SIGTERM"])
def test_a_dropped_connection_ends_the_program_and_keeps_what_is_finished(tiny_folder, how):
    with terminal("--model", str(tiny_folder), "--device", "cpu") as workbench:
        workbench.until("says")
        workbench.press("r")
        workbench.until("intact")
        if how == "hang up":
            os.close(workbench.outside)
        else:
            workbench.process.send_signal(getattr(signal, how))
        assert workbench.process.wait(PATIENCE) == 0
    (summary,) = list_sessions()
    assert set(summary.states) <= {"done", "stopped"}


def test_q_leaves_and_says_how_to_look_again(tiny_folder):
    with terminal("--model", str(tiny_folder), "--device", "cpu") as workbench:
        workbench.until("says")
        workbench.press("r")
        workbench.until("most help")
        until(lambda: [each.states for each in list_sessions()] == [("done",)])
        workbench.seen = b""
        workbench.press("q")
        workbench.until("as the model reads it")
        workbench.press("q")
        workbench.until("look again with: workbench replay add1-1")
        assert workbench.process.wait(PATIENCE) == 0
