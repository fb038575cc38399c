"""The guided first run leads from a prompt to a neuron's tokens, once, and again when asked."""

from __future__ import annotations

import pytest
from piloting import driving

from screens.chrome import END, LESSONS, GuideLines
from screens.keys import Keys
from workbench import tui


def told(user) -> str:
    return " ".join(str(user.app.screen.query_one(GuideLines).content).split())


def pressed(place):
    return Keys().fill(LESSONS[place].press)


async def test_following_the_guide_one_arrives_at_what_a_neuron_says(live):
    app = live()
    app.workspace.guided = True
    async with driving(app) as user:
        await user.settled()
        assert pressed(0) in told(user)
        await user.press("r")
        await user.settled()
        assert pressed(1) in told(user)
        await user.press("b", "enter")
        await user.until(lambda: user.here == "neurons" and user.result.rows.height)
        assert pressed(2) in told(user)
        await user.press("1")
        assert "press 3" in told(user)
        await user.press("3", "enter")
        await user.until(lambda: user.here == "tokens" and user.result.rows.height)
        assert LESSONS[3].seen in told(user)


async def test_the_guide_is_ended_and_called_back_by_one_key(live):
    async with driving(live()) as user:
        assert not user.app.screen.query_one(GuideLines).display
        await user.press("ctrl+g")
        assert user.app.screen.query_one(GuideLines).display
        await user.press("ctrl+g")
        assert not user.app.screen.query_one(GuideLines).display


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_lesson_is_read_in_two_lines_of_80_columns(lesson):
    assert len(f"1/4 {lesson.seen}") <= 77
    assert len(Keys().fill(f"{lesson.press}{END}")) <= 77


def test_only_the_first_run_is_guided(tmp_path):
    assert tui._first_run()
    assert not tui._first_run()
