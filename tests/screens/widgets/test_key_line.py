"""The line of keys: whole keys only, and always the one that lists them all."""

from __future__ import annotations

import pytest
from piloting import driving
from replays import replaying
from textual.widgets._footer import FooterKey

from screens.widgets.lines import KEPT, KeyLine, fitting


@pytest.mark.parametrize(
    ("width", "places"),
    [(100, [0, 1, 2, 3]), (40, [0, 1, 2, 3]), (39, [0, 1, 2]), (29, [0, 2]), (5, [2])],
)
def test_the_last_keys_go_first_and_the_one_that_is_kept_never(width, places):
    assert fitting([0, 0, KEPT, 0], [10, 10, 10, 10], width) == places


def test_a_short_one_has_the_room_that_a_longer_one_cannot_use():
    assert fitting([0, 0, 0, KEPT], [10, 25, 8, 10], 30) == [0, 2, 3]


def test_what_matters_least_goes_first():
    assert fitting([1, 0, 2, 0], [10, 10, 10, 10], 30) == [0, 1, 2]
    assert fitting([1, 0, 2, 0], [10, 10, 10, 10], 20) == [0, 2]
    assert fitting([1, 0, 2, 0], [10, 10, 10, 10], 10) == [2]


async def test_no_key_is_cut_and_the_list_of_keys_is_always_offered():
    app = replaying()
    async with driving(app, (60, 24)) as user:
        app.workspace.replaying = False
        for key in "12345678":
            await user.press(key)
            app.screen.refresh_all()
            line = app.screen.query_one(KeyLine)
            await user.until(lambda line=line: cut(line) == [])
            assert "? Keys" in shown(line)
            assert len(shown(line)) >= 5
        before = len(shown(line))
        await user.pilot.resize_terminal(160, 40)
        await user.press("3")
        line = app.screen.query_one(KeyLine)
        await user.until(lambda: len(shown(line)) > before)


def shown(line: KeyLine) -> list[str]:
    keys = [each for each in line.query(FooterKey) if each.display]
    return [f"{each.key_display} {each.description}" for each in keys]


def cut(line: KeyLine) -> list[FooterKey]:
    """Keys that reach beyond the line, but for the blank behind the last."""
    keys = [each for each in line.query(FooterKey) if each.display]
    return [each for each in keys if each.region.right > line.region.right + 1]
