"""The map of layers by positions: layers up, the prompt to the right, its tokens below."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult

from screens.widgets.cell_map import Position, PositionMap

SENTENCE = ["When", " Mary", " and", " John"]


class OneMap(App[None]):
    """A map that has the keys."""

    CSS = "PositionMap { height: 1fr; }"

    def __init__(self, positions: int, layers: int) -> None:
        super().__init__()
        self.map = PositionMap(positions, layers, centred=False, glyphs=None)

    def compose(self) -> ComposeResult:
        yield self.map

    def on_mount(self) -> None:
        self.map.focus()

    def lines(self) -> list[str]:
        return [self.map.render_line(y).text.rstrip() for y in range(self.map.size.height)]


async def test_layers_run_up_and_the_tokens_stand_below() -> None:
    app = OneMap(4, 3)
    async with app.run_test(size=(40, 10)) as pilot:
        app.map.set_values({Position(2, 3): 1.0, Position(0, 0): 0.0})
        app.map.set_tokens(SENTENCE)
        await pilot.pause()
        header, top, *_, tokens = [line for line in app.lines() if line]
        assert header.split() == ["0", "3"]
        assert top.startswith("L2")
        assert [line[:2] for line in app.lines()[1:4]] == ["L2", "L1", "L0"]
        assert tokens.split() == ["When", "Mary", "and", "John"]
        assert app.map.value(Position(2, 3)) == 1.0
        assert app.map.value(Position(1, 1)) is None


async def test_keys_move_along_the_prompt_and_through_the_layers() -> None:
    app = OneMap(4, 12)
    async with app.run_test(size=(40, 20)) as pilot:
        app.map.move_to(Position(0, 0))
        for keys, place in [
            (["up", "k", "right", "l"], Position(2, 2)),
            (["down", "j", "j", "h", "left", "left"], Position(0, 0)),
            (["end"], Position(0, 3)),
            (["pageup"], Position(8, 3)),
            (["G", "home"], Position(11, 0)),
            (["g"], Position(0, 0)),
        ]:
            await pilot.press(*keys)
            assert app.map.cursor == place


async def test_the_cursor_is_read_where_it_is_clicked() -> None:
    app = OneMap(4, 3)
    async with app.run_test(size=(40, 10)) as pilot:
        layout = app.map.geometry
        region = layout.region(2, 0)
        await pilot.click(app.map, offset=(region.x + layout.gap, region.y))
        assert app.map.cursor == Position(2, 2)


async def test_a_long_prompt_scrolls_sideways_and_keeps_its_tokens_below() -> None:
    app = OneMap(90, 30)
    async with app.run_test(size=(80, 24)) as pilot:
        app.map.set_tokens([f"t{place}" for place in range(90)])
        await pilot.pause()
        assert "▸" in app.lines()[0]
        assert "t0" in app.lines()[-1]
        await pilot.press("end")
        await pilot.pause()
        assert "◂" in app.lines()[0]
        assert "89" in app.lines()[0]
        assert app.lines()[-1].endswith("t89")
        assert len(app.lines()[-1]) <= 80


async def test_many_layers_share_lines_as_halves_where_there_are_colours(monkeypatch) -> None:
    monkeypatch.setattr("screens.widgets.cell_map.needs_glyphs", lambda app: False)
    app = OneMap(4, 30)
    async with app.run_test(size=(80, 24)) as pilot:
        app.map.set_values({Position(layer, 0): layer / 30 for layer in range(30)})
        await pilot.pause()
        assert app.map.geometry.halves
        assert app.map.geometry.size.height <= 24
        assert "▀" in app.lines()[3]


async def test_tokens_that_a_terminal_obeys_or_hides_are_written_out() -> None:
    app = OneMap(3, 3)
    async with app.run_test(size=(60, 10)) as pilot:
        app.map.set_tokens(["\x1b[2J", "\n", " "])
        await pilot.pause()
        tokens = app.lines()[4]
        assert "\x1b" not in tokens
        assert tokens.split() == ["\\x1b[2J", "\\n", "␣"]


async def test_a_value_outside_the_map_is_refused() -> None:
    app = OneMap(3, 3)
    async with app.run_test(size=(60, 10)):
        with pytest.raises(ValueError, match="L7 at position 0 is outside a map of 3 × 3"):
            app.map.set_values({Position(7, 0): 1.0})
