"""The cursor of the head map: keys and mouse."""

from __future__ import annotations

from head_maps import MapApp

from screens.widgets.cell_grid import HEADER
from screens.widgets.cell_map import HeadMap


async def test_an_empty_map_draws_blank_lines_and_ignores_keys() -> None:
    app = MapApp(0, 0)
    async with app.run_test(size=(60, 12)) as pilot:
        await pilot.press("right", "G", "enter", "home", "end")
        await pilot.pause()
        assert app.map.render_line(1).text == " " * 60
        assert app.said == []


async def test_keys_move_the_cursor_and_stop_at_the_edges() -> None:
    app = MapApp(12, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        for keys, head in [
            (["right", "l", "down", "j"], "L2H2"),
            (["h", "left", "left", "k", "up", "up"], "L0H0"),
            (["end"], "L11H0"),
            (["G"], "L11H8"),
            (["home"], "L0H8"),
            (["g"], "L0H0"),
            (["pagedown", "pagedown"], "L0H8"),
        ]:
            await pilot.press(*keys)
            assert str(app.map.cursor) == head
        await pilot.press("enter")
        await pilot.pause()
        assert app.heads(HeadMap.CellSelected) == ["L0H8"]
        assert app.heads(HeadMap.CellHighlighted)[:4] == ["L0H0", "L1H0", "L2H0", "L2H1"]


async def test_a_map_larger_than_the_screen_follows_the_cursor() -> None:
    app = MapApp(100, 64)
    async with app.run_test(size=(80, 24)) as pilot:
        app.map.set_values([[0.1] * 64] * 100)
        await pilot.pause()
        assert "▸" in app.map.render_line(0).text
        await pilot.press("G")
        await pilot.pause()
        assert app.map.scroll_offset.x > 0
        assert app.map.scroll_offset.y > 0
        assert "99" in app.map.render_line(0).text
        bottom = app.map.render_line(app.map.size.height - 2).text
        assert bottom.startswith("H63")
        assert app.map.render_line(0).text.startswith("◂▴")
        await pilot.press("g")
        await pilot.pause()
        assert app.map.scroll_offset == (0, 0)


async def test_a_click_moves_and_a_second_chooses() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        x = app.map.geometry.gutter + 7 * app.map.geometry.pitch
        await pilot.click(app.map, offset=(x, HEADER + 4))
        assert str(app.map.cursor) == "L7H4"
        await pilot.click(app.map, offset=(x, HEADER + 4), times=2)
        await pilot.pause()
        assert app.heads(HeadMap.CellSelected) == ["L7H4"]
        await pilot.click(app.map, offset=(0, 0))
        assert str(app.map.cursor) == "L7H4"


async def test_clicking_a_shared_line_again_takes_the_lower_half() -> None:
    app = MapApp(32, 32)
    async with app.run_test(size=(80, 20)) as pilot:
        x = app.map.geometry.gutter + 10 * app.map.geometry.pitch
        await pilot.click(app.map, offset=(x, HEADER + 3))
        assert str(app.map.cursor) == "L10H6"
        await pilot.pause(0.6)  # later than a double click
        await pilot.click(app.map, offset=(x, HEADER + 3))
        assert str(app.map.cursor) == "L10H7"


async def test_the_mouse_reads_out_heads_and_leaves_the_cursor_alone() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        x = app.map.geometry.gutter + 7 * app.map.geometry.pitch
        await pilot.pause()
        app.said.clear()
        await pilot.hover(app.map, offset=(x, HEADER + 4))
        await pilot.hover(app.legend)
        await pilot.pause()
        seen = [e for e in app.said if isinstance(e, HeadMap.CellHighlighted)]
        assert [(str(e.ref), e.hover) for e in seen] == [("L7H4", True), ("L0H0", False)]
        assert str(app.map.cursor) == "L0H0"
        assert all(e.control is app.map for e in seen)
