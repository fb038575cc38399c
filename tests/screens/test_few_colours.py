"""With 16 colours or none nothing is said by colour alone: glyphs, weights, words say it too."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest
from piloting import driving
from recorded_chain import recorded_result
from replays import replaying
from rich.segment import Segment
from textual.app import App, ComposeResult
from textual.widget import Widget

from analysis.refs import HeadRef
from screens.colours import amount_ramp, change_ramp
from screens.text import visible
from screens.themes import THEMES
from screens.tokens import gains_view, lens_view
from screens.widgets.cell_map import HeadMap
from screens.widgets.chain_layout import ChainGraph
from screens.widgets.chain_view import ChainView
from screens.widgets.frame_table import FrameTable
from screens.widgets.lines import Legend, ProgressLine
from screens.widgets.token_strip import TokenStrip

TERMINALS = {
    "xterm": {"TERM": "xterm"},
    "linux": {"TERM": "linux"},
    "no colour": {"TERM": "xterm-256color", "COLORTERM": "truecolor", "NO_COLOR": "1"},
}
RAMPS = [ramp(theme) for ramp in (change_ramp, amount_ramp) for theme in THEMES.values()]
COLOURS = {color for ramp in RAMPS for color in ramp.colors if len(set(color)) > 1}
"""All that data is painted with where there are colours, but for greys, which other things have."""


@pytest.fixture(params=TERMINALS, autouse=True)
def _terminal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in TERMINALS[request.param].items():
        monkeypatch.setenv(name, value)


class OneWidget(App[None]):
    """An app of one widget."""

    def __init__(self, widget: Widget) -> None:
        super().__init__()
        self.widget = widget

    def compose(self) -> ComposeResult:
        yield self.widget


def segments(app: App[None]) -> Iterator[Segment]:
    """All that is drawn."""
    for strip in app.screen._compositor.render_strips():
        yield from strip


def painted(app: App[None]) -> list[Segment]:
    """Segments in a colour of the ramps."""
    found = []
    for each in segments(app):
        for color in (each.style.color, each.style.bgcolor) if each.style else ():
            if color is not None and color.triplet is not None and tuple(color.triplet) in COLOURS:
                found.append(each)
    return found


async def test_the_map_of_heads_and_its_bars_draw_glyphs() -> None:
    app = OneWidget(map := HeadMap(20, 9))
    async with app.run_test(size=(80, 20)) as pilot:
        map.set_values({HeadRef(1, 0): -2.0, HeadRef(2, 0): 2.0, HeadRef(3, 0): 0.0}, exact=True)
        map.update_cells({HeadRef(4, 0): 2.0}, exact=False)
        map.move_to(HeadRef(0, 8))
        await pilot.pause()
        layout = map.geometry
        row = map.render_line(1).text[layout.gutter :]
        bars = map.render_line(layout.below(map.size.height).start).text[layout.gutter :]
        assert row.startswith("   ██ ## ·· #~ ")
        assert bars.startswith("   ██ ## ·· ## ")
        assert painted(app) == []


@pytest.mark.parametrize("centred", [True, False])
async def test_the_legend_shows_the_glyphs_it_explains(centred) -> None:
    app = OneWidget(legend := Legend(centred=centred))
    async with app.run_test(size=(80, 5)) as pilot:
        legend.set_scale(-2.0 if centred else 0.0, 2.0)
        await pilot.pause()
        text = legend.render_line(0).text
        ramp = change_ramp() if centred else amount_ramp()
        assert ramp.glyphs[0] in text
        assert ramp.glyphs[-1] in text
        assert painted(app) == []


@pytest.mark.parametrize("ends", [(-2.1, 0.27), (-2.0, 0.0), (-0.3, 2.2)])
async def test_the_legend_explains_the_glyph_of_next_to_nothing(ends) -> None:
    app = OneWidget(legend := Legend())
    async with app.run_test(size=(80, 5)) as pilot:
        legend.set_scale(*ends)
        await pilot.pause()
        assert "·" in legend.render_line(0).text


async def test_sure_cells_of_the_logit_lens_are_bold_and_faint_ones_dim() -> None:
    rows = pl.DataFrame(
        {
            "layer": [0, 1, 2],
            "position": [0, 0, 0],
            "reads": ["="] * 3,
            "token": ["faint", "middling", "sure"],
            "prob": [0.01, 0.3, 0.9],
            "answer_prob": [0.0, 0.1, 0.9],
        }
    )
    columns, frame = lens_view(rows)
    app = OneWidget(table := FrameTable(columns))
    async with app.run_test(size=(80, 10)) as pilot:
        table.set_frame(frame)
        await pilot.pause()
        styles = {
            segment.text.strip(): segment.style
            for y in range(1, 4)
            for segment in table.render_line(y)
        }
        assert styles["sure"].bold
        assert styles["faint"].dim
        assert not styles["middling"].bold
        assert not styles["middling"].dim
        assert painted(app) == []


async def test_a_gain_and_a_loss_lie_on_different_sides_of_the_axis() -> None:
    rows = pl.DataFrame(
        {"name": ["L0", "L1"], "layer": [0, 1], "attention": [-1.0, 1.0], "ffn": [0.5, 0.0]}
    ).with_columns(logprob=pl.lit(-1.0))
    columns, frame = gains_view(rows)
    app = OneWidget(table := FrameTable(columns))
    async with app.run_test(size=(100, 10)) as pilot:
        table.set_frame(frame)
        await pilot.pause()
        assert "██████│" in table.render_line(1).text
        assert "│██████" in table.render_line(2).text
        assert painted(app) == []


async def test_neighbouring_tokens_are_told_apart_by_lines_and_numbers() -> None:
    app = OneWidget(strip := TokenStrip())
    async with app.run_test(size=(80, 10)) as pilot:
        strip.set_tokens(["a", "b", "c"], answer=["d", "e"])
        await pilot.pause()
        line = strip.render_line(0)
        styles = {segment.text: segment.style for segment in line if segment.text.strip()}
        assert line.text.rstrip() == " 0 a  1 b  2 c  →  d  e"
        assert [bool(styles[token].underline) for token in "abcde"] == [0, 1, 0, 0, 1]
        assert painted(app) == []


async def test_a_job_shows_how_far_it_is_by_the_weight_of_its_line() -> None:
    app = OneWidget(line := ProgressLine())
    async with app.run_test(size=(80, 5)) as pilot:
        line.show("heads", 5, 10)
        await pilot.pause()
        text = line.render_line(0).text
        assert text.count("━") == pytest.approx(text.count("─"), abs=1) != 0


async def test_lines_of_the_chain_tell_strength_sign_and_the_way_without_colours(
    sessions_folder,
) -> None:
    result = recorded_result()
    app = OneWidget(view := ChainView())
    async with app.run_test(size=(120, 30)) as pilot:
        graph = ChainGraph(result.step.ranked(result.table()))
        view.set_chain(graph, visible(result.baseline["answer"]), result.baseline["prob"])
        await pilot.pause()
        drawn = list(segments(app))
        for glyphs in ("━", "─", "╌╍"):  # strong, weak, weakens
            assert any(set(glyphs) & set(each.text) for each in drawn)
        lines = [each for each in drawn if set(each.text) & set("━─")]
        assert {bool(each.style.bold) for each in lines} == {True, False}
        cursor = [each for each in drawn if each.style and each.style.reverse]
        assert "".join(each.text for each in cursor).startswith(view.cursor)
        assert painted(app) == []


@pytest.mark.parametrize("_terminal", ["linux"], indirect=True)
async def test_no_screen_says_anything_in_the_colours_of_the_ramps() -> None:
    app = replaying()
    async with driving(app) as user:
        for key in "12345678":
            await user.press(key)
            assert painted(app) == [], user.here
            if key == "2":
                assert "harm −2.1 █" in user.seen
