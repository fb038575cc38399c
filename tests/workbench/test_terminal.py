"""The program in a terminal of its own: it paints first, and it leaves when the terminal does."""

from __future__ import annotations

import os
from signal import SIGHUP

from terminals import terminal
from tiny_folder import HEADS_IN_ALL

from analysis.steps import HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet
from sessions import Rows, Session, record


def test_a_dropped_sweep_is_gone_on_with_in_a_later_terminal_that_q_leaves(
    tiny_folder, tiny_model, workbench
):
    """Begun, stopped, reopened, dropped by SIGHUP, reopened, finished, left."""
    cases = [Prompt(prompt=f"{n:04d} " * 12, answer=str(n % 10)) for n in range(120)]
    step = HeadsStep(prompts=PromptSet(name="long", prompts=tuple(cases)))
    with Session.create("mine", tiny_model.info, seed=0) as session:
        updates = record(session, step, tiny_model)
        begun = next(each for each in updates if isinstance(each, Rows)).done
        updates.close()
    model = ("--model", str(tiny_folder), "--device", "cpu")

    with terminal(*model, "--session", "mine") as screen:
        screen.until(f"{begun} of {HEADS_IN_ALL} · r goes on")
        refused = workbench("heads", "--prompt", "1", *model, "--session", "mine")
        assert refused.code == 1
        line = refused.err.splitlines()[-1]
        assert f"session mine is being written by process {screen.process.pid}" in line
        assert "`workbench replay mine` follows it" in line
        screen.press("r")
        screen.reads_until(lambda: Session.open("mine").step(1).done_rows > begun)
        assert screen.signalled(SIGHUP) == 0
        assert screen.restored
    session = Session.open("mine")
    assert not session.is_written
    assert session.step(1).info.state in ("stopped", "done")
    dropped = session.step(1).rows()

    with terminal(*model, "--session", "mine") as screen:
        screen.until("mine has 1 step")
        screen.until("zeroing one head")  # in front of the prompts, where r means another sweep
        if session.step(1).info.state == "stopped":  # it may have come to its end before
            screen.until("enter goes on")
            screen.press("\r")
        screen.reads_until(lambda: Session.open("mine").step(1).info.state == "done")
        screen.press("q")
        screen.until("as the model reads it")
        screen.press("q")
        screen.reads_until(lambda: "look again" in screen.text or "Quit?" in screen.text)
        if "Quit?" in screen.text:  # the end is on disk before the program has heard of it
            screen.press("y")
        screen.until(f"look again with:  workbench --session mine --model {tiny_folder}")
        assert screen.ends() == 0
    (finished,) = Session.open("mine").steps
    assert finished.done_rows == HEADS_IN_ALL
    assert set(finished.keys()) >= set(dropped["name"])


def test_a_session_that_is_held_opens_in_no_second_terminal_but_is_followed(
    tiny_folder, tiny_model
):
    arguments = ("--model", str(tiny_folder), "--device", "cpu", "--session", "mine")
    with Session.create("mine", tiny_model.info, seed=0):
        with terminal(*arguments) as workbench:
            workbench.until("`workbench replay mine` follows it")
            assert workbench.ends() == 1
        with terminal("replay", "mine") as workbench:
            workbench.until(f"following · process {os.getpid()}")
            workbench.press("q")
            assert workbench.ends() == 0
