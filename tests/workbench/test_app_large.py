"""Screen 3 with all neurons of a model of Llama-7B's shape: 32 layers of 11,008."""

from __future__ import annotations

import pytest
from large_models import ranking, workspace
from piloting import driving

from workbench.app import WorkbenchApp
from workbench.settings import load_settings

LAYERS, NEURONS = 32, 11_008


@pytest.fixture(scope="module")
def ranked():
    return ranking(LAYERS, NEURONS)


async def test_a_third_of_a_million_neurons_open_scroll_sort_and_are_marked(ranked):
    async with driving(WorkbenchApp(workspace(ranked), load_settings())) as user:
        await user.press("3")
        table = user.table
        assert table.shown == LAYERS * NEURONS
        assert "by layer" in user.text("#histogram")
        assert "100 exact of 352,256" in user.text("#histogram")
        await user.press("G")
        assert table.cursor == LAYERS * NEURONS - 1
        assert table.current_key in user.seen
        await user.press("g")
        column = {"name": ["layer", "neuron"], "importance": "importance"}
        for name in ("coefficient", "tokens", "name", "importance"):
            await user.press("s")
            assert table.sorted_by == name
            if name in ("coefficient", "name"):
                keys = column.get(name, name)
                order = table.copied(True).select(keys)
                assert order.equals(order.sort(keys, descending=table.descending))
        # As it came: what is exact before the estimates.
        assert table.copied(True)["estimated"].to_list()[99:101] == [False, True]
        await user.press("S", "g")
        assert (table.sorted_by, table.descending) == ("importance", False)
        best = {table.copied(True)["name"][place] for place in (0, 1)}
        table.action_mark()
        table.action_mark()
        await user.pilot.pause()
        assert table.marked == best
        assert "2 marked" in user.text("#histogram")


async def test_every_kind_of_filter_works_on_all_of_them(ranked):
    async with driving(WorkbenchApp(workspace(ranked), load_settings()), (120, 36)) as user:
        await user.press("3", "slash")
        assert user.app.focused.placeholder == "a word, L20, importance > 0.1"
        whole = ranked.table()
        for text, condition in {
            "L20": whole["layer"] == 20,
            "layer=20": whole["layer"] == 20,
            "L20N1493": whole["name"].str.contains("L20N1493", literal=True),
            "octo": whole["tokens"].list.contains("octo").fill_null(False),
            '"␣eight"': whole["tokens"].list.contains(" eight").fill_null(False),
            "importance > 0.05": whole["importance"] > 0.05,
            "L31 importance>0.05": (whole["layer"] == 31) & (whole["importance"] > 0.05),
        }.items():
            user.app.focused.value = text
            await user.pilot.pause()
            assert user.table.shown == condition.sum() > 0, text
        user.app.focused.value = "> 0.5"
        await user.until(lambda: "Name a column, as importance>0.5" in user.seen)
