"""A sweep in a real terminal that goes, is resized, or is left for a while."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice

import psutil
import pytest
from terminals import WORKBENCH, Terminal, terminal
from tiny_folder import HEADS_IN_ALL
from waiting import until

from analysis.steps import HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet
from sessions import Rows, Session, record
from workbench.paths import log_file

SIZES = ((1, 1), (10, 5), (300, 100), (80, 24), (59, 15), (60, 16), (2, 50), (200, 3))


@pytest.fixture
def begun(tiny_model) -> int:
    """Rows of a long sweep that session `mine` has so far."""
    cases = [Prompt(prompt=f"{n:04d} " * 8, answer=str(n % 10)) for n in range(80)]
    step = HeadsStep(prompts=PromptSet(name="long", prompts=tuple(cases)))
    with Session.create("mine", tiny_model.info, seed=0) as session:
        updates = record(session, step, tiny_model)
        rows = next(each for each in updates if isinstance(each, Rows)).done
        updates.close()
    return rows


@pytest.fixture
def arguments(tiny_folder, begun) -> list[str]:
    return ["--model", str(tiny_folder), "--device", "cpu", "--session", "mine"]


def sweep_in(workbench: Terminal, begun: int) -> None:
    """Go on with that sweep until it has more rows."""
    workbench.until(f"{begun} of {HEADS_IN_ALL} · r goes on")
    workbench.press("r")
    workbench.reads_until(lambda: Session.open("mine").step(1).done_rows > begun)


@contextmanager
def sweeping(arguments: list[str], begun: int) -> Iterator[Terminal]:
    """A workbench in which that sweep goes on; nothing it started may outlive it."""
    with terminal(*arguments) as workbench:
        sweep_in(workbench, begun)
        started = _with_children(workbench.process.pid)
        yield workbench
        until(lambda: not any(_alive(each) for each in started))
        assert "Traceback" not in workbench.raw


def _with_children(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _kept(more_than: int) -> None:
    """The session is free again, and has what was finished."""
    session = Session.open("mine")
    assert not session.is_written
    step = session.step(1)
    assert step.info.state in ("stopped", "done")
    assert step.rows().height == step.done_rows > more_than
    assert "Traceback" not in log_file().read_text("utf-8")


def test_a_terminal_that_is_closed_ends_it_in_order(arguments, begun):
    with terminal(*arguments) as workbench:
        sweep_in(workbench, begun)
        assert workbench.hangs_up() == 0
    _kept(begun)


def test_a_terminal_that_is_closed_ends_it_where_no_signal_tells_of_it():
    with terminal("replay", "example:addition", controlling=False) as workbench:
        workbench.until("1 of 5")
        assert workbench.hangs_up() == 0
    assert "Traceback" not in log_file().read_text("utf-8")


def test_two_hundred_sizes_in_two_seconds_leave_it_well_and_sigterm_ends_it_in_order(
    arguments, begun
):
    with sweeping(arguments, begun) as workbench:
        for columns, rows in islice(cycle(SIZES), 200):
            workbench.resize(columns, rows)
            pause = time.monotonic() + 0.01
            workbench.reads_until(lambda until=pause: time.monotonic() >= until)
        workbench.resize(10, 5)
        workbench.resize(80, 24)
        workbench.press("7")
        workbench.until("example:addition")
        assert workbench.signalled(signal.SIGTERM) == 0
        assert workbench.restored
    _kept(begun)


def test_ctrl_z_gives_the_terminal_back_fg_goes_on_and_a_suspended_one_ends_with_its_terminal(
    arguments, begun
):
    script = "{workbench}; echo in the shell; read -r key; fg; echo suspended again; read -r key"
    with shell(script, arguments) as sh:
        sweep_in(sh, begun)
        started = _with_children(sh.process.pid)
        (workbench,) = psutil.Process(sh.process.pid).children()
        sh.press("\x1a")
        sh.until("in the shell")
        assert workbench.status() == psutil.STATUS_STOPPED
        assert sh.restored
        sh.press("\n")
        sh.until("1 Prompts")
        assert {1049, 1000, 2004} <= sh.modes
        rows = Session.open("mine").step(1).done_rows
        done = ("stopped", "done")
        sh.reads_until(
            lambda: (
                (step := Session.open("mine").step(1)).done_rows > rows or step.info.state in done
            )
        )
        sh.press("\x1a")
        sh.until("suspended again")
        assert sh.restored
        sh.hangs_up()
        until(lambda: not any(_alive(each) for each in started))
    _kept(begun)


@pytest.mark.parametrize("redirection", ["</dev/null", ">/dev/null"])
def test_where_only_one_side_is_a_terminal_it_refuses_in_one_line(redirection):
    example = ["replay", "example:addition", redirection]
    with shell("{workbench}; echo ended $?", example) as sh:
        assert sh.ends() == 0
        line, last = sh.raw.splitlines()
        assert line.startswith("workbench: the terminal UI needs a terminal; workbench sessions")
        assert last == "ended 2"


@contextmanager
def shell(script: str, arguments: list[str]) -> Iterator[Terminal]:
    """A script in a terminal under job control, as only that lets a program be suspended."""
    script = script.format(workbench=" ".join([*WORKBENCH, *arguments]))
    with terminal("-mc", script, program=["sh"]) as sh:
        yield sh
