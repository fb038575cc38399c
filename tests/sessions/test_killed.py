"""A process that dies in the middle of a step."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from counting_step import CountingStep, FakeModel, expected_rows
from polars.testing import assert_frame_equal

from sessions import Session, record

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


def test_what_was_interrupted_stays_so_while_other_work_goes_on():
    acknowledged_before_kill(1, 0)
    model = FakeModel()
    with Session.open("killed", writable=True) as session:
        updates = record(session, CountingStep(), model)
        next(updates)
        states = [recorded.info.state for recorded in Session.open("killed").steps]
        assert states == ["interrupted", "running"]
        updates.close()
