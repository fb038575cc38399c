"""Leaving the workbench, and hearing of what ends out of sight."""

from __future__ import annotations

from piloting import driving

from sessions import Session


async def test_q_goes_back_and_then_quits(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("2", "3")
        await user.press("q")
        assert user.here == "heads"
        await user.press("q")
        assert user.here == "prompts"
        assert user.app.is_running
        await user.pilot.press("q")
        await user.until(lambda: not user.app.is_running)


async def test_capital_q_quits_from_anywhere_and_ctrl_c_says_so(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("2", "3", "ctrl+c")
        assert user.notices[-1].startswith("Q quits")
        await user.pilot.press("Q")
        await user.until(lambda: not user.app.is_running)


async def test_going_round_the_screens_does_not_bury_the_way_out(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press(*"234712347123471")
        assert user.here == "prompts"
        for _ in range(5):
            if user.app.is_running:
                await user.pilot.press("q")
                await user.pilot.pause()
        await user.until(lambda: not user.app.is_running)


async def test_quitting_in_the_middle_of_a_step_asks_first(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(2)
        await user.until(lambda: user.result.rows.height == 2)
        await user.press("1", "2", "q", "q")
        assert user.here == "Confirm"
        await user.press("n")
        assert user.here == "prompts"
        assert user.workspace.running is not None
        await user.press("q")
        await user.pilot.press("y")
        await user.until(lambda: not user.app.is_running)
    session = Session.open("add1-1")
    assert session.step(1).info.state == "stopped"
    assert session.step(1).done_rows == 2
    assert not session.is_written


async def test_a_long_step_that_ends_out_of_sight_is_told_of(live, gate, monkeypatch):
    monkeypatch.setattr("workbench.runs.LONG", 0.0)
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.until(lambda: user.here == "heads")
        await user.press("7")
        gate.let_all()
        await user.settled()
        assert user.notices[-1].startswith(
            "add1 · 36 prompts · zeroing one head at a time: done in"
        )
        assert user.notices[-1].endswith("; T goes there")
