"""The workbench in terminals of its own: a bare pseudo-terminal, one with a shell, and tmux."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waiting import PATIENCE

WORKBENCH = [sys.executable, "-m", "workbench"]
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[@-Z\\-_]")
_MODE = re.compile(r"\x1b\[\?([0-9;]+)([hl])")
_STYLE = re.compile(r"\x1b\[([0-9;]*)m")
_TAKING_IT = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
_OF_THE_TERMINAL = ("COLORTERM", "NO_COLOR", "SSH_CONNECTION", "TERM", "COLUMNS", "LINES")


@dataclass
class Terminal:
    """A program behind a pseudo-terminal, and all that it has written there."""

    process: subprocess.Popen[bytes]
    outside: int
    inside: int
    before: list[Any]
    """How the terminal was set before the program came."""
    seen: bytes = b""
    _mark: int = field(default=0, repr=False)

    @property
    def raw(self) -> str:
        """All that was written, with its escape sequences."""
        return self.seen.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """What was written since the last `press`, without escape sequences."""
        return _ESCAPES.sub("", self.seen[self._mark :].decode("utf-8", "replace"))

    def reads_until(self, happened: Callable[[], object]) -> None:
        """Be the terminal, which always reads, until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, f"it did not happen; last seen: {self.text[-500:]}"
            if select.select([self.outside], [], [], 0.02)[0]:
                with suppress(OSError):  # the program ended
                    self.seen += os.read(self.outside, 65_536)

    def until(self, text: str) -> None:
        """Read until the program has drawn a text since the last `press`."""
        self.reads_until(lambda: text in self.text or self.over)
        assert text in self.text, f"the program ended; last seen: {self.text[-500:]}"

    @property
    def over(self) -> bool:
        """Whether the program ended and all it wrote was read."""
        return self.process.poll() is not None and not select.select([self.outside], [], [], 0)[0]

    def press(self, keys: str) -> None:
        """Type; `until` looks at what is drawn from now on."""
        self._mark = len(self.seen)
        os.write(self.outside, keys.encode())

    def ends(self) -> int:
        """Read until the program ends; gives its exit code."""
        self.reads_until(lambda: self.over)
        return int(self.process.returncode)

    def signalled(self, number: signal.Signals) -> int:
        """Send the program a signal and read until it ends; gives its exit code."""
        self.process.send_signal(number)
        return self.ends()

    def hangs_up(self) -> int:
        """Close the terminal; gives the exit code of the program."""
        os.close(self.inside)
        os.close(self.outside)
        self.inside = self.outside = -1
        return self.process.wait(PATIENCE)

    def resize(self, columns: int, rows: int) -> None:
        """Be of another size; the kernel tells the program."""
        fcntl.ioctl(self.outside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    @property
    def modes(self) -> set[int]:
        """The private modes that are set now, of those the program has touched."""
        return _modes(self.raw)

    @property
    def styles(self) -> set[str]:
        """The parameters of every style it has asked for."""
        return set(_STYLE.findall(self.raw))

    @property
    def restored(self) -> bool:
        """Whether the terminal is as the program found it.

        Lines wrap (7) and the cursor is shown (25); no alternate screen, mouse, focus reports,
        bracketed paste or keyboard protocol is left on.
        """
        keyboard = self.raw.count("\x1b[>25u") == self.raw.count("\x1b[<u")
        return self.modes == {7, 25} and keyboard and termios.tcgetattr(self.inside) == self.before


def _modes(raw: str) -> set[int]:
    found: set[int] = set()
    for numbers, what in _MODE.findall(raw):
        change = found.add if what == "h" else found.discard
        for number in numbers.split(";"):
            change(int(number))
    return found


@contextmanager
def terminal(
    *arguments: str | Path,
    program: Sequence[str] = WORKBENCH,
    size: tuple[int, int] = (80, 24),
    controlling: bool = True,
    **environment: str,
) -> Iterator[Terminal]:
    """A workbench in a pseudo-terminal, killed if the block leaves it running.

    Args:
        arguments: of the workbench.
        program: what runs instead of it.
        size: columns and rows.
        controlling: as in a login: the kernel says when the terminal is gone.
        environment: what the terminal says of itself; else it has 256 colours.
    """
    outside, inside = pty.openpty()
    columns, rows = size
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    before = termios.tcgetattr(inside)
    command = [*program, *(str(each) for each in arguments)]
    process = subprocess.Popen(
        [sys.executable, "-c", _TAKING_IT, *command] if controlling else command,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=plain_environment(**{"TERM": "xterm-256color", **environment}),
        start_new_session=True,
    )
    shown = Terminal(process, outside, inside, before)
    try:
        yield shown
    finally:
        process.kill()
        process.wait()
        for end in (shown.outside, shown.inside):
            if end >= 0:
                os.close(end)


def plain_environment(**environment: str) -> dict[str, str]:
    """The environment of this process, with only what is given said of the terminal."""
    own = {name: each for name, each in os.environ.items() if name not in _OF_THE_TERMINAL}
    return {**own, "TEXTUAL_ANIMATIONS": "none", **environment}


@dataclass
class Tmux:
    """A pane of 80 × 24 in a tmux server of its own."""

    socket: Path

    def ask(self, *command: str) -> str:
        """Have the server do something."""
        done = subprocess.run(
            ["tmux", "-S", str(self.socket), "-f", os.devnull, *command],
            capture_output=True,
            text=True,
            check=True,
            env=plain_environment(TERM="xterm-256color", LC_ALL="C.UTF-8"),
        )
        return done.stdout

    @property
    def screen(self) -> str:
        """What stands in the pane."""
        return self.ask("capture-pane", "-p")

    @property
    def styled(self) -> str:
        """What stands in the pane, with its styles."""
        return self.ask("capture-pane", "-p", "-e")

    def press(self, *keys: str) -> None:
        """Press keys by their names in tmux."""
        self.ask("send-keys", *keys)

    def until(self, text: str) -> None:
        """Wait until a text stands in the pane."""
        deadline = time.monotonic() + PATIENCE
        while text not in (screen := self.screen):
            assert time.monotonic() < deadline, f"{text!r} does not come:\n{screen}"
            time.sleep(0.03)

    def tells(self, fact: str) -> str:
        """What a format of tmux says of the pane."""
        return self.ask("display-message", "-p", f"#{{{fact}}}").strip()


@contextmanager
def tmux(folder: Path, default_terminal: str = "tmux-256color") -> Iterator[Tmux]:
    """A tmux server with one shell in one pane."""
    server = Tmux(folder / "tmux")
    shell = "PS1='$ ' exec sh -i"
    server.ask(
        *("set-option", "-g", "default-terminal", default_terminal, ";"),
        *("new-session", "-d", "-x", "80", "-y", "24", shell),
    )
    try:
        yield server
    finally:
        with suppress(subprocess.CalledProcessError):  # it ends with its last pane
            server.ask("kill-server")
