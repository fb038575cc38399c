"""Screen 2 at the sizes of real models and of real terminals."""

from __future__ import annotations

import re

import pytest
from large_models import sweep, workspace
from piloting import Driver, driving

from analysis.refs import HeadRef
from screens.heads import HeadSpace
from screens.widgets.cell_grid import HEADER
from screens.widgets.cell_map import HeadMap
from screens.widgets.lines import Legend
from workbench.app import WorkbenchApp
from workbench.settings import load_settings

SHAPES = [(32, 32), (80, 64)]
TERMINALS = [(60, 16), (80, 24), (120, 36), (200, 60)]


@pytest.fixture(autouse=True)
def _colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def opened(layers: int, heads: int, exact: float = 1.0) -> WorkbenchApp:
    """A finished or half-finished sweep of a large model on the screens."""
    return WorkbenchApp(workspace(sweep(layers, heads, exact)), load_settings())


def in_sight(user: Driver, head: HeadRef) -> bool:
    """Whether the cells of a head are drawn."""
    map = user.app.screen.query_one(HeadMap)
    cells = map.geometry.region(head.layer, head.index).translate(-map.scroll_offset)
    bars = map.geometry.below(map.size.height).start
    bottom = map.size.height if bars is None else bars
    return (
        map.geometry.gutter <= cells.x + map.geometry.gap
        and cells.right <= map.size.width + map.geometry.gap
        and cells.y >= HEADER
        and cells.bottom <= bottom
    )


@pytest.mark.parametrize("shape", SHAPES)
async def test_cursor_reading_and_legend_are_always_in_sight(shape):
    layers, heads = shape
    async with driving(opened(*shape), TERMINALS[0]) as user:
        await user.press("2")
        map = user.app.screen.query_one(HeadMap)
        for terminal in TERMINALS:
            await user.pilot.resize_terminal(*terminal)
            for key, head in [
                ("G", HeadRef(layers - 1, heads - 1)),
                ("home", HeadRef(0, heads - 1)),
                ("g", HeadRef(0, 0)),
            ]:
                await user.press(key)
                assert map.cursor == head
                assert in_sight(user, head)
                lines = user.seen.splitlines()
                assert re.search(rf"\bH{head.index}\b", user.seen)
                assert re.search(rf"\b{head.layer}\b", lines[map.region.y])
                value = map.value(head)
                assert value is not None
                assert f"{abs(value):.3f}" in user.seen
                legend = user.app.screen.query_one(Legend).region
                assert "help" in lines[legend.y]


async def test_thirty_two_by_thirty_two_is_whole_at_80_by_24():
    async with driving(opened(32, 32)) as user:
        await user.press("2")
        map = user.app.screen.query_one(HeadMap)
        assert map.geometry.halves
        assert map.geometry.pitch == 2
        assert all(in_sight(user, HeadRef(layer, head)) for layer in (0, 31) for head in (0, 31))


async def test_a_wide_terminal_shows_all_of_70b_with_bars_and_a_ranking():
    async with driving(opened(80, 64), (200, 60)) as user:
        await user.press("2")
        map = user.app.screen.query_one(HeadMap)
        assert all(in_sight(user, HeadRef(layer, head)) for layer in (0, 79) for head in (0, 63))
        assert map.geometry.footer == 2
        assert len(user.text("#most").splitlines()) > 10


async def test_the_mouse_reads_a_head_of_a_large_map_and_a_click_chooses_it():
    async with driving(opened(80, 64), (120, 36)) as user:
        await user.press("2", "G")
        map = user.app.screen.query_one(HeadMap)
        head = HeadRef(61, 40)
        place = map.geometry.region(head.layer, head.index).translate(-map.scroll_offset).offset
        await user.pilot.hover(HeadMap, offset=place)
        await user.pilot.pause()
        assert user.text("#reading").startswith(str(head))
        assert map.cursor == HeadRef(79, 63)
        await user.pilot.hover(Legend)
        await user.pilot.pause()
        assert user.text("#reading").startswith("L79H63")
        await user.pilot.click(HeadMap, offset=place)
        await user.pilot.pause()
        assert map.cursor == head
        assert user.text("#reading").startswith(str(head))


async def test_estimates_are_said_to_be_estimates():
    async with driving(opened(80, 64, exact=0.5), (120, 36)) as user:
        await user.press("2", "G")
        assert "estimated" in user.text("#reading")
        assert "~" in user.text("#reading")
        await user.press("g")
        assert "estimated" not in user.text("#reading")


@pytest.mark.parametrize("terminal", [(60, 10), (80, 18), (120, 30), (200, 54)])
@pytest.mark.parametrize("shape", [(30, 9), (1, 1), *SHAPES, (126, 128)])
def test_no_part_takes_what_is_not_there(shape, terminal):
    width, height = terminal
    space = HeadSpace.share(width, height, shape)
    assert 11 <= space.reading < width
    left = height - 1 - space.below - space.padded
    # Either the whole map is there, or it has all lines but the one that names the top heads.
    assert left >= HEADER + (shape[1] + 1) // 2 or left >= height - 2
