"""Notices do not lie over the row under the cursor, are counted, and can be read again."""

from __future__ import annotations

import pytest
from piloting import driving
from replays import replaying
from textual.widgets import OptionList
from textual.widgets._toast import Toast


def lines_of_notice(user) -> range:
    """The lines of the screen that the notice in sight covers."""
    shown = [each for each in user.app.screen.query(Toast) if each.region.height]
    assert len(shown) == 1
    return range(shown[0].region.y, shown[0].region.bottom)


@pytest.mark.parametrize("size", [(60, 15), (80, 24), (200, 50)])
async def test_a_notice_is_never_over_the_row_under_the_cursor(size):
    async with driving(replaying("example:paper", at="021-cna"), size) as user:
        user.app.notify("one line after the other\n" * 3, timeout=60)
        await user.until(lambda: user.app.screen.query(Toast))
        for key in ("G", "g", "G", *["k"] * 12, "pageup"):
            await user.press(key)
            await user.pilot.pause()
            table, covered = user.table, lines_of_notice(user)
            row = table.region.y + table.cursor_line
            assert table.current_key in user.seen.splitlines()[row]
            assert row not in covered
            assert covered.stop <= size[1] - 2  # keys and status stay in sight


async def test_several_notices_are_one_with_a_count_and_are_kept():
    async with driving(replaying(), (80, 24)) as user:
        for words in ("first", "again", "again", "last"):
            user.app.notify(words, timeout=60)
        user.app.notify("no such file", severity="error", timeout=60)
        await user.until(lambda: user.app.screen.query(Toast))
        assert "3 more: ! lists them" in user.seen
        assert "no such file" in user.seen
        assert "again" not in user.seen
        await user.press("exclamation_mark")
        assert user.here == "NoticeList"
        options = user.app.screen.query_one(OptionList).options
        words = [str(each.prompt).split(maxsplit=1)[1] for each in options]
        assert words == ["error    no such file", "last", "again  × 2", "first"]
        copied: list[str] = []
        user.app.copy_to_clipboard = lambda text, *_: copied.append(text)
        await user.press("j", "j", "y")
        await user.pilot.pause()
        assert copied == ["again"]
        await user.press("escape")
        assert user.here == "heads"


async def test_hostile_words_in_a_notice_are_words():
    async with driving(replaying(), (80, 24)) as user:
        user.app.notify("[red]x[/red] \x1b[2J", timeout=60)
        await user.press("exclamation_mark")
        (option,) = user.app.screen.query_one(OptionList).options
        assert str(option.prompt).endswith(r"[red]x[/red] \x1b[2J")
