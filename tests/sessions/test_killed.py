"""A process that dies in the middle of a step."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from counting_step import CountingStep, FakeModel, expected_rows
from polars.testing import assert_frame_equal
from tiny_folder import HEADS_IN_ALL

from sessions import Session, record, root

SUPPORT = Path(__file__).parents[1] / "support"
COUNT = 60

CHILD = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from counting_step import CountingStep, FakeModel
from sessions import Rows, Session, record
model = FakeModel(lambda number: time.sleep(0.002))
with Session.use("killed", model.info, seed=1) as session:
    steps = session.steps
    resume = steps[0] if steps else None
    for update in record(session, CountingStep(count={COUNT}, batch=1), model, resume=resume):
        if isinstance(update, Rows):
            print(update.frame["name"][0], flush=True)
"""


def acknowledged_before_kill(lines: int, delay: float) -> list[str]:
    """Start a recording, kill it soon after it has acknowledged `lines` rows."""
    process = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen = [process.stdout.readline().strip() for _ in range(lines)]
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    return seen + process.communicate()[0].split()


def test_a_step_killed_again_and_again_ends_like_an_uninterrupted_one():
    chance = random.Random(0)
    acknowledged: list[str] = []
    for _ in range(4):
        acknowledged += acknowledged_before_kill(chance.randint(1, 8), chance.uniform(0, 0.02))
        session = Session.open("killed")
        assert session.notices == []
        assert session.step(1).info.state == "interrupted"
        assert set(acknowledged) <= session.step(1).keys()
    assert len(set(acknowledged)) == len(acknowledged)

    model = FakeModel()
    with Session.open("killed", writable=True) as session:
        assert any("ended without closing" in notice for notice in session.notices)
        recorded = session.step(1)
        assert recorded.info.state == "interrupted"
        list(record(session, CountingStep(count=COUNT, batch=1), model, resume=recorded))
    assert not set(model.asked) & set(acknowledged)
    assert_frame_equal(Session.open("killed").step(1).rows(), expected_rows(range(COUNT)))


def test_a_brief_run_leaves_the_time_it_took_and_a_later_one_adds_to_it():
    acknowledged_before_kill(2, 0)
    first = Session.open("killed").step(1).info.seconds
    assert first > 0
    acknowledged_before_kill(2, 0)
    assert Session.open("killed").step(1).info.seconds > first


def test_what_was_interrupted_stays_so_while_other_work_goes_on():
    acknowledged_before_kill(1, 0)
    model = FakeModel()
    with Session.open("killed", writable=True) as session:
        updates = record(session, CountingStep(), model)
        next(updates)
        states = [recorded.info.state for recorded in Session.open("killed").steps]
        assert states == ["interrupted", "running"]
        updates.close()


MOMENTS = 10


class Sweeps:
    """Sweeps of a tiny model, each in a process of its own that can be killed."""

    def __init__(self, model: Path) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(SUPPORT / "forking_sweeps.py"), str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert self._line() == "ready"

    def close(self) -> None:
        self._server.communicate()

    def run(self, name: str, lines: int | None = None, delay: float = 0) -> set[str]:
        """Record, kill it `delay` seconds after so many lines, and return what it acknowledged."""
        assert self._server.stdin is not None
        self._server.stdin.write(f"{name}\n")
        self._server.stdin.flush()
        pid, seen = int(self._line()), []
        while lines is None or len(seen) < lines:
            if (line := self._line()) == "ended":
                return set(seen)
            seen.append(line)
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while (line := self._line()) != "ended":
            seen.append(line)
        return set(seen)

    def _line(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_sweep_killed_at_ten_moments_keeps_every_row_and_ends_like_an_uninterrupted_one(
    tiny_folder,
):
    chance = random.Random(30)
    sweeps = Sweeps(tiny_folder)
    try:
        begun = time.monotonic()
        assert len(sweeps.run("whole")) == HEADS_IN_ALL
        longest = time.monotonic() - begun
        whole = Session.open("whole").step(1).rows().sort("name")
        number, acknowledged = 1, set()
        names = {"killed-1"}
        interrupted = 0
        while interrupted < MOMENTS:  # a sweep that ends before it is killed does not count
            name = f"killed-{number}"
            acknowledged |= sweeps.run(name, chance.randint(0, 4), chance.uniform(0, longest / 4))
            if not (root() / name).exists():
                assert not acknowledged
                continue
            session = Session.open(name)
            assert session.notices == []
            for recorded in session.steps:
                assert acknowledged <= recorded.keys()
                found = recorded.rows().sort("name")
                assert_frame_equal(found, whole.filter(pl.col("name").is_in(recorded.keys())))
                interrupted += recorded.info.state == "interrupted"
                if recorded.info.state == "done":
                    number, acknowledged = number + 1, set()
                    names.add(f"killed-{number}")
            assert len(session.steps) <= 1
        for name in names:
            sweeps.run(name)
            (recorded,) = Session.open(name).steps
            assert recorded.info.state == "done"
            assert_frame_equal(recorded.rows().sort("name"), whole, check_exact=True)
    finally:
        sweeps.close()
