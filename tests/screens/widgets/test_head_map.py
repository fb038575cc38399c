"""The head map: colours, streaming, marks and legend."""

from __future__ import annotations

import math

import pytest
from head_maps import HARM, HELP, MUCH, ZERO, MapApp, backgrounds, cell, ink
from rich.segment import Segment
from textual.geometry import Region

from analysis.refs import HeadRef
from screens.widgets.cell_grid import HEADER
from screens.widgets.lines import Legend

# Drawing -----------------------------------------------------------------------------------


async def test_labels_stand_over_and_beside_their_cells() -> None:
    app = MapApp(30, 9)
    async with app.run_test(size=(100, 20)) as pilot:
        app.map.set_values({HeadRef(0, 0): 1.0})
        await pilot.pause()
        header, layout = app.map.render_line(0).text, app.map.geometry
        for layer in (0, 5, 10, 25, 29):
            x = layout.gutter + layer * layout.pitch
            assert header[x:].startswith(str(layer))
        assert [app.map.render_line(y).text[:2] for y in (1, 2, 9)] == ["H0", "H1", "H8"]
        assert all(app.map.render_line(y).cell_length == 100 for y in range(12))


async def test_a_change_is_coloured_by_sign_and_size() -> None:
    app = MapApp(4, 3)
    async with app.run_test(size=(60, 12)) as pilot:
        app.map.set_values([[-2.0, 0.0, 2.0], [1.0, -1.0, None], [0, 0, 0], [0, 0, 0]])
        app.map.move_to(HeadRef(3, 2))
        await pilot.pause()
        assert backgrounds(cell(app.map, 0, 0)) == {HARM}
        assert backgrounds(cell(app.map, 0, 1)) == {ZERO}
        assert backgrounds(cell(app.map, 0, 2)) == {HELP}
        assert "".join(segment.text for segment in cell(app.map, 1, 2)) == "····"


async def test_amounts_use_the_other_ramp_and_light_themes_their_own() -> None:
    app = MapApp(3, 3)
    async with app.run_test(size=(60, 12)) as pilot:
        app.map.move_to(HeadRef(2, 2))
        app.map.set_values([[0.0, 1.0, 2.0]], centred=False)
        await pilot.pause()
        assert backgrounds(cell(app.map, 0, 2)) == {MUCH[True]}
        app.theme = "textual-light"
        await pilot.pause()
        assert backgrounds(cell(app.map, 0, 2)) == {MUCH[False]}


async def test_estimates_look_thinner_until_they_are_exact() -> None:
    app = MapApp(4, 3)
    async with app.run_test(size=(60, 12)) as pilot:
        app.map.move_to(HeadRef(3, 2))
        values = {HeadRef(0, 0): -1.0, HeadRef(1, 0): -1.0}
        app.map.set_values(values, exact={HeadRef(1, 0)})
        await pilot.pause()
        estimate, exact = cell(app.map, 0, 0), cell(app.map, 1, 0)
        assert {segment.text for segment in estimate} == {"▒"}
        assert ink(estimate[0]) == HARM
        assert {segment.text for segment in exact} == {" "}
        app.map.update_cells({HeadRef(0, 0): -1.0})
        assert cell(app.map, 0, 0) == exact


async def test_two_heads_share_a_line_as_upper_and_lower_half() -> None:
    app = MapApp(32, 33)
    async with app.run_test(size=(80, 24)) as pilot:
        rows = [[0.0] * 33 for _ in range(32)]
        rows[4][6], rows[4][7] = -3.0, 3.0
        app.map.set_values(rows)
        await pilot.pause()
        for segment in cell(app.map, 4, 6):
            assert segment.text == "▀"
            assert ink(segment) == HARM
            assert backgrounds([segment]) == {HELP}
        last = app.map.render_line(HEADER + 16)
        assert last.text.startswith("H32")
        assert set(last.text[app.map.geometry.gutter :].rstrip()) == {"▀"}


async def test_an_estimated_half_is_half_as_wide() -> None:
    app = MapApp(32, 32)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values({HeadRef(4, 6): -1.0, HeadRef(4, 7): 1.0}, exact={HeadRef(4, 7)})
        await pilot.pause()
        left, right = cell(app.map, 4, 6)
        assert left.text == "▀"
        assert right.text == "▄"
        assert ink(right) == HELP


async def test_the_cursor_brackets_a_cell_and_fills_a_half() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values([[0.5] * 9] * 20)
        app.map.move_to(HeadRef(6, 5))
        await pilot.pause()
        line, x = app.map.render_line(HEADER + 5).text, app.map.geometry.gutter + 18
        assert line[x - 1 : x + 3] == "▐  ▌"
        assert line.count("▐") == 1
        assert "6" in app.map.render_line(0).text
        app.map.clear(32, 32)
        app.map.set_values([[0.5] * 32] * 32)
        app.map.move_to(HeadRef(6, 5))
        await pilot.pause()
        white = app.map.get_component_rich_style("cell-map--cursor").color
        assert white is not None
        assert white.triplet is not None
        assert backgrounds(cell(app.map, 6, 5)) == {tuple(white.triplet)}
        assert ink(cell(app.map, 6, 4)[0]) == HELP


async def test_a_roomy_terminal_shows_larger_cells() -> None:
    app = MapApp(30, 9)
    async with app.run_test(size=(160, 30)) as pilot:
        app.map.set_values([[0.5] * 9] * 30)
        app.map.set_marked([HeadRef(3, 3)])
        app.map.move_to(HeadRef(6, 5))
        await pilot.pause()
        layout = app.map.geometry
        assert (layout.pitch, layout.fill, layout.lines) == (5, 4, 2)
        rows = [app.map.render_line(HEADER + layout.row_of(5) + place).text for place in (0, 1)]
        assert [row[:3] for row in rows] == ["H5 ", "   "]
        x = layout.gutter + 6 * 5
        assert all(row[x - 1 : x + 5] == "▐    ▌" for row in rows)
        marks = [app.map.render_line(HEADER + layout.row_of(3) + place).text for place in (0, 1)]
        assert [mark.count("•") for mark in marks] == [1, 0]
        await pilot.click(app.map, offset=(x + 5, HEADER + layout.row_of(7) + 1))
        assert str(app.map.cursor) == "L7H7"


async def test_below_the_heads_bars_show_the_strongest_value_of_each_layer() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values([[0.0] * 9] * 20)
        app.map.update_cells({HeadRef(3, 0): -4.0, HeadRef(3, 1): 3.9, HeadRef(5, 8): 1.0})
        await pilot.pause()
        layout = app.map.geometry
        line = app.map.render_line(layout.below(app.map.size.height).start)

        def bar(layer: int) -> Segment:
            x = layout.gutter + layer * layout.pitch
            return next(iter(line.crop(x, x + 1)))

        assert (bar(3).text, ink(bar(3))) == ("█", HARM)
        # A quarter of the largest, on the scale of the colours: its square root, half the way.
        assert (bar(5).text, ink(bar(5))) == ("▅", (0, 175, 215))
        assert bar(7).text == "▁"
        await pilot.click(app.map, offset=(layout.gutter, layout.below(app.map.size.height).start))
        assert str(app.map.cursor) == "L0H0"


async def test_a_mark_is_seen_and_goes_away() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values([[0.5] * 9] * 20)
        app.map.set_marked([HeadRef(3, 3)])
        await pilot.pause()
        assert app.map.render_line(HEADER + 3).text.count("•") == 1
        app.map.update_cells({HeadRef(3, 3): 0.5}, exact=False)
        assert "".join(segment.text for segment in cell(app.map, 3, 3)) == "•▒"
        app.map.set_marked([])
        assert "•" not in app.map.render_line(HEADER + 3).text


async def test_without_colours_glyphs_tell_the_steps() -> None:
    app = MapApp(20, 9, glyphs=True)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values({HeadRef(1, 0): -2.0, HeadRef(2, 0): 2.0, HeadRef(3, 0): 0.0})
        app.map.move_to(HeadRef(0, 8))
        await pilot.pause()
        texts = ["".join(s.text for s in cell(app.map, layer, 0)) for layer in range(5)]
        assert texts == ["  ", "██", "##", "··", "  "]
        app.legend.set_scale(*app.map.scale)
        assert app.legend.render_line(0).text.startswith("harm −2.0 ██▓▓▓▓▓▒·+++***## +2.0 help")
        app.map.clear(32, 32)
        await pilot.pause()
        assert not app.map.geometry.halves


async def test_the_cursor_is_seen_where_the_terminal_owns_the_colours() -> None:
    app = MapApp(32, 32)
    async with app.run_test(size=(80, 20)) as pilot:
        app.theme = "ansi-dark"
        app.map.set_values([[0.5] * 32] * 32)
        app.map.move_to(HeadRef(6, 5))
        await pilot.pause()
        assert backgrounds(cell(app.map, 6, 5)) == {(255, 255, 255)}


# Streaming ---------------------------------------------------------------------------------


async def test_a_streamed_cell_repaints_only_its_own_region(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.set_values({HeadRef(0, 0): -2.0, HeadRef(1, 0): 1.0})
        await pilot.pause()
        painted: list[tuple[Region, ...]] = []
        monkeypatch.setattr(app.map, "refresh", lambda *regions, **_: painted.append(regions))
        app.map.update_cells({HeadRef(5, 4): -0.5})
        bars = app.map.geometry.below(app.map.size.height).start
        assert painted == [(app.map.geometry.region(5, 4),), (Region(0, bars, 80, 1),)]
        assert app.map.value(HeadRef(5, 4)) == -0.5
        assert app.map.value(HeadRef(0, 0)) == -2.0


async def test_a_new_extreme_changes_the_scale_and_all_colours() -> None:
    app = MapApp(20, 9)
    async with app.run_test(size=(80, 20)) as pilot:
        app.map.move_to(HeadRef(9, 8))
        app.map.set_values({HeadRef(0, 0): -1.0})
        await pilot.pause()
        assert backgrounds(cell(app.map, 0, 0)) == {HARM}
        app.map.update_cells({HeadRef(1, 0): -10.0, HeadRef(2, 0): 0.5})
        await pilot.pause()
        assert backgrounds(cell(app.map, 0, 0)) != {HARM}
        assert app.map.scale == (-10.0, 0.5)
        app.map.set_scale(-1.0, 1.0)
        assert backgrounds(cell(app.map, 0, 0)) == {HARM}
        app.map.set_scale()
        assert app.map.scale == (-10.0, 0.5)


async def test_missing_and_foreign_heads() -> None:
    app = MapApp(3, 3)
    async with app.run_test(size=(60, 12)):
        app.map.set_values({HeadRef(0, 0): math.nan, HeadRef(0, 1): None})
        assert app.map.value(HeadRef(0, 0)) is None
        assert app.map.value(HeadRef(9, 9)) is None
        with pytest.raises(ValueError, match="L3H0 is outside a map of 3 × 3"):
            app.map.update_cells({HeadRef(3, 0): 1.0})


# Legend ------------------------------------------------------------------------------------


async def test_the_legend_shows_the_colours_of_the_range_it_names() -> None:
    app = MapApp(4, 3)
    async with app.run_test(size=(60, 12)) as pilot:
        assert app.legend.render_line(0).text == " " * 60
        app.legend.set_scale(-2.1, 0.3)
        line = app.legend.render_line(0)
        assert line.text.rstrip() == f"harm −2.1 {' ' * Legend.BAR} +0.3 help"
        bar = list(line.crop(10, 10 + Legend.BAR))
        shown = [next(iter(backgrounds([segment]))) for segment in bar]
        assert shown[0] == HARM
        # A seventh of the larger side goes √(1/7), two of the five steps, towards the most help.
        assert shown[-1] == (0, 135, 175)
        app.legend.set_note("change of log-prob", "bars: strongest of each layer")
        assert app.legend.render_line(0).text.endswith("  change of log-prob")
        app.legend.set_meaning("none", "much", centred=False, decimals=0)
        app.legend.set_scale(0, 12)
        assert app.legend.render_line(0).text.startswith("none 0 ")
        await pilot.pause()
