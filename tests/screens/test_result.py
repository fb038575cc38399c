"""Any result by the shape of its rows: on its screen, live and replayed."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest
from hands import Idle
from made_up import gains, lens, paced, result, shaded, taken_apart
from piloting import Driver
from recorded_chain import open_chain
from replays import replay_of, unmeasured

from analysis.steps import ChainStep
from screens.messages import RerunRequested, ResumeRequested, StopRequested
from screens.widgets.cell_map import Position, PositionMap
from screens.widgets.frame_table import FrameTable


class Shown:
    """A workbench that shows one result by its shape."""

    def __init__(self, shown, size=(80, 24), replaying=False):
        workspace = unmeasured()
        workspace.results, workspace.replaying = [shown], replaying
        workspace.show(shown, "result")
        self.app, self.size, self.messages = Idle(workspace), size, []

    async def __aenter__(self):
        self._running = self.app.run_test(size=self.size, message_hook=self.messages.append)
        pilot = await self._running.__aenter__()
        self.user = Driver(self.app, pilot)
        self.app.action_visit("result")
        await pilot.pause()
        return self

    async def __aexit__(self, *error):
        return await self._running.__aexit__(*error)

    @property
    def screen(self):
        return self.app.screen

    @property
    def reading(self):
        return self.user.text("#at-cursor")

    def change(self, shown):
        self.app.workspace.results[:] = [shown]
        self.screen.refresh_all()

    def posted(self, kind):
        return [each for each in self.messages if isinstance(each, kind)]


async def test_layers_by_positions_are_a_map_whose_cursor_is_read_in_words():
    async with Shown(lens()) as on:
        assert on.user.here == "result"
        assert "300" not in on.user.text("#title")
        assert "120 rows" in on.user.text("#title")
        assert on.screen.query_one(PositionMap).cursor == Position(11, 9)
        assert on.reading.strip().startswith("L11@9")
        await on.user.press("left", "down")
        assert 'reads ","' in on.reading
        assert 'token "␣the"' in on.reading
        assert "answer rank 2" in on.reading


async def test_another_measure_colours_the_same_map():
    async with Shown(lens()) as on:
        map = on.screen.query_one(PositionMap)
        assert map.value(Position(11, 9)) == 1.0
        await on.user.press("m")
        assert map.value(Position(11, 9)) == pytest.approx(0.09)
        await on.user.press("m")
        assert map.value(Position(11, 9)) == 1.0


async def test_values_around_zero_diverge_and_amounts_rise():
    rows = lens().rows
    signed = rows.with_columns(prob=pl.col("prob") - 0.5)
    for frame, centred in ((rows, False), (signed, True)):
        async with Shown(result(lens().step, frame.to_dicts())) as on:
            assert on.screen.query_one(PositionMap).ramp.centred == centred


async def test_rows_stream_in_where_the_cursor_stays():
    whole = lens(state="running")
    async with Shown(replace(whole, held=replace(whole.held, rows=whole.rows[:40]))) as on:
        map = on.screen.query_one(PositionMap)
        assert map.shape == (10, 4)
        await on.user.press("down", "left")
        here = map.cursor
        on.change(whole)
        await on.user.press("right", "left")
        assert map.shape == (10, 12)
        assert map.cursor == here
        await on.user.press("escape")
        assert on.posted(StopRequested)


async def test_values_by_layer_have_bars_beside_them():
    async with Shown(gains()) as on:
        assert "█│" in on.user.seen
        assert "│█" in on.user.seen
        assert "attention 1.000" in on.reading


async def test_a_step_that_no_screen_names_is_shown_as_a_table():
    async with Shown(paced()) as on:
        table = on.screen.query_one("#rows", FrameTable)
        assert table.current_key == "n4"
        assert "value 1.000" in on.reading
        await on.user.press("slash", *"n2", "enter")
        assert table.shown == 1


async def test_a_kind_without_a_screen_goes_to_this_one():
    async with Shown(paced()) as on:
        on.app.action_visit("prompts")
        on.app.present(paced())
        await on.user.press("down")
        assert on.user.here == "result"


async def test_what_is_under_the_cursor_is_copied():
    async with Shown(lens()) as on:
        await on.user.press("left", "y", "Y")
        row, rows = (each.text for each in on.messages if type(each).__name__ == "CopyRequested")
        assert row.splitlines()[1].startswith("L11@8\t")
        assert len(rows.splitlines()) == 121


@pytest.mark.parametrize(
    ("state", "asked"), [("done", RerunRequested), ("stopped", ResumeRequested)]
)
async def test_a_key_goes_on_or_computes_again(state, asked):
    async with Shown(lens(state=state)) as on:
        await on.user.press("r")
        assert on.posted(asked)


async def test_in_a_replay_nothing_runs_and_all_is_read():
    async with Shown(lens(), replaying=True) as on:
        await on.user.press("r", "left", "m")
        assert not on.posted(RerunRequested)
        assert on.reading.strip().startswith("L11@8")


async def test_how_it_was_looked_at_is_kept_and_put_back():
    async with Shown(lens()) as on:
        await on.user.press("left", "down", "m")
        kept = on.screen.view()
        await on.user.press("right", "up", "m")
        on.screen.show_view(kept)
        await on.user.press("m", "m")
        assert on.screen.view() == kept
        for damaged in ({"cursor": [1]}, {"cursor": ["a", None]}, {"measure": 7}, {"rows": []}):
            on.screen.show_view(damaged)
        on.screen.show_view({"cursor": [9**9, -4]})
        assert on.screen.query_one(PositionMap).cursor == Position(11, 9)


async def test_the_result_of_another_screen_is_shown_by_its_shape():
    async with Shown(lens()) as on:
        on.app.workspace.results = [lens(), gains()]
        await on.user.press("4")
        assert on.user.here == "tokens"
        await on.user.press("V")
        assert on.user.here == "result"
        shown = on.app.workspace.current("lens", "gains")
        assert on.screen.result.step.kind == shown.step.kind


@pytest.mark.parametrize("size", [(60, 16), (120, 36)])
@pytest.mark.parametrize("name", ["example:addition", "example:ioi", "example:paper"])
async def test_every_recorded_step_has_a_picture_of_its_shape(name, size):
    workspace = replay_of(name)
    first, *others = {each.step.kind: each for each in workspace.results}.values()
    async with Shown(first, size) as on:
        for each in (first, *others):
            on.app.workspace.results[:] = [each]
            on.app.workspace.show(each, "result")
            on.screen.refresh_all()
            await on.user.press("down")
            assert on.reading.strip(), each.step.kind
            assert on.screen.query_one("#body").display


async def test_a_graph_which_screen_5_draws_is_a_table_here():
    workspace = replay_of(open_chain())
    chain = next(each for each in workspace.results if isinstance(each.step, ChainStep))
    async with Shown(chain) as on:
        assert on.screen.query_one("#rows", FrameTable).shown == chain.rows.height
        assert on.reading.strip()


async def test_a_result_keeps_its_own_order_when_another_shape_was_in_sight_between():
    parts, tokens = taken_apart(), replace(shaded(), id="by token")
    async with Shown(parts) as on:
        on.app.workspace.results.append(tokens)
        on.app.action_visit("direct")
        for each in (tokens, parts, tokens):
            on.app.workspace.show(each, "direct", "direct_cases", "inputs")
            on.screen.refresh_all()
            await on.user.pilot.pause()
        assert "name▼" not in on.user.seen
        assert on.user.seen.index("@0 ") < on.user.seen.index("@1 ")
