"""The program in a terminal of its own: it paints first, and it leaves when the terminal does."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pytest
from tiny_folder import HEADS_IN_ALL
from waiting import PATIENCE, until

from analysis.prompts import Prompt, PromptSet
from analysis.steps import HeadsStep
from sessions import Rows, Session, list_sessions, record

HEADLESS = [sys.executable, "-m", "workbench"]


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

    def reads_until(self, happened: Callable[[], object]) -> None:
        """Be the terminal, which always reads, until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            assert time.monotonic() < deadline, "it did not happen"
            if select.select([self.outside], [], [], 0.02)[0]:
                with suppress(OSError):  # the program ended
                    self.seen += os.read(self.outside, 65_536)

    def dropped(self) -> int | None:
        """Tell the program that its connection is gone; returns how it ended."""
        self.process.send_signal(signal.SIGHUP)
        self.reads_until(lambda: self.process.poll() is not None)
        return self.process.returncode

    def press(self, keys: str) -> None:
        os.write(self.outside, keys.encode())


@contextmanager
def terminal(*arguments: str) -> Iterator[Terminal]:
    """The workbench in a terminal of 80 × 24, killed if the block leaves it running."""
    outside, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "TEXTUAL_ANIMATIONS": "none"}
    process = subprocess.Popen(
        [*HEADLESS, *arguments],
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


def test_a_dropped_sweep_is_gone_on_with_in_a_later_terminal_and_replays(tiny_folder, tiny_model):
    """Begun, stopped, reopened, dropped by SIGHUP, reopened, finished, replayed."""
    cases = [Prompt(prompt=f"{n:04d} " * 12, answer=str(n % 10)) for n in range(120)]
    step = HeadsStep(prompts=PromptSet(name="long", prompts=tuple(cases)))
    with Session.create("mine", tiny_model.info, seed=0) as session:
        updates = record(session, step, tiny_model)
        begun = next(each for each in updates if isinstance(each, Rows)).done
        updates.close()
    model = ("--model", str(tiny_folder), "--device", "cpu")

    with terminal(*model, "--session", "mine") as workbench:
        workbench.until(f"{begun} of {HEADS_IN_ALL} · r goes on")
        refused = subprocess.run(
            [*HEADLESS, "heads", "--prompt", "1", *model, "--session", "mine"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode == 1
        line = refused.stderr.splitlines()[-1]
        assert f"session mine is being written by process {workbench.process.pid}" in line
        assert "`workbench replay mine` follows it" in line
        workbench.press("r")
        workbench.reads_until(lambda: Session.open("mine").step(1).done_rows > begun)
        assert workbench.dropped() == 0
    session = Session.open("mine")
    assert not session.is_written
    assert session.step(1).info.state in ("stopped", "done")
    dropped = session.step(1).rows()

    with terminal(*model, "--session", "mine") as workbench:
        workbench.until("mine has 1 step")
        workbench.press("r")
        workbench.reads_until(lambda: Session.open("mine").step(1).info.state == "done")
        assert workbench.dropped() == 0
    (finished,) = Session.open("mine").steps
    assert finished.done_rows == HEADS_IN_ALL
    assert set(finished.keys()) >= set(dropped["name"])

    with terminal("replay", "mine") as workbench:
        workbench.until("1 of 1")
        workbench.press("q")
        workbench.until("look again with: workbench replay mine")
        assert workbench.process.wait(PATIENCE) == 0


def test_a_session_that_is_held_opens_in_no_second_terminal_but_is_followed(
    tiny_folder, tiny_model
):
    arguments = ("--model", str(tiny_folder), "--device", "cpu", "--session", "mine")
    with Session.create("mine", tiny_model.info, seed=0):
        with terminal(*arguments) as workbench:
            workbench.until("`workbench replay mine` follows it")
            assert workbench.process.wait(PATIENCE) == 1
        with terminal("replay", "mine") as workbench:
            workbench.until(f"following · process {os.getpid()}")
            workbench.press("q")
            assert workbench.process.wait(PATIENCE) == 0
