"""In which order the frame table shows rows, and which of them."""

from __future__ import annotations

import polars as pl
import pytest
from tables import COLUMNS, TableApp, frame, shown_names

from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import sort_order


@pytest.mark.parametrize("descending", [True, False])
async def test_rows_stand_in_the_order_polars_sorts_them(descending: bool) -> None:
    data = frame(200)
    app = TableApp(data)
    async with app.run_test(size=(80, 12)) as pilot:
        app.table.sort("importance_change", descending)
        await pilot.pause()
        wanted = data.with_columns(pl.col("importance_change").fill_nan(None)).sort(
            "importance_change", descending=descending, nulls_last=True, maintain_order=True
        )
        assert shown_names(app.table) == wanted.get_column("name").to_list()


def test_names_sort_by_layer_and_index_and_tokens_by_the_first() -> None:
    data = frame(60).sample(fraction=1.0, shuffle=True, seed=3)
    by_name = data[sort_order(data, COLUMNS[0], False)]
    assert by_name.select("layer", "neuron").equals(
        data.sort("layer", "neuron").select("layer", "neuron")
    )
    by_token = data[sort_order(data, COLUMNS[3], False)].get_column("tokens").list.first()
    assert by_token.to_list() == sorted(by_token.to_list())


async def test_s_walks_the_columns_and_capital_s_turns_the_order() -> None:
    app = TableApp(frame(40), sort=None)
    async with app.run_test(size=(80, 12)) as pilot:
        assert shown_names(app.table)[:2] == ["L0N0", "L0N1"]
        seen = []
        for key in ["s", "s", "S", "l", "s", "h", "left"]:
            await pilot.press(key)
            seen.append((app.table.sorted_by, app.table.descending))
        # Importance is hidden at 80 columns, so the walk passes it by.
        assert seen == [
            ("name", False),
            ("importance_change", True),
            ("importance_change", False),
            ("tokens", False),
            ("name", False),
            ("tokens", False),
            ("importance_change", True),
        ]
        assert "▼change" in app.table.render_line(0).text
        await pilot.press("S")
        assert "▲change" in app.table.render_line(0).text
        assert app.table.cursor == 0


async def test_the_first_frame_decides_the_first_direction() -> None:
    app = TableApp(frame(50))
    async with app.run_test(size=(80, 12)):
        assert app.table.descending
        top = app.table.current
        assert top is not None
        assert top["importance_change"] == max(
            value
            for value in app.data.get_column("importance_change").to_list()
            if value is not None and value == value
        )


async def test_a_filter_keeps_order_and_counts() -> None:
    data = frame(300)
    app = TableApp(data, sort="name")
    async with app.run_test(size=(80, 12)) as pilot:
        assert app.table.filter("OCTO layer:7") is None
        await pilot.pause()
        wanted = [
            row["name"]
            for row in data.rows(named=True)
            if row["layer"] == 7 and any("octo" in token for token in row["tokens"])
        ]
        assert wanted
        assert shown_names(app.table) == wanted
        last = [e for e in app.said if isinstance(e, FrameTable.Filtered)][-1]
        assert (last.shown, last.total) == (len(wanted), 300)


async def test_a_filter_that_makes_no_sense_says_so_and_changes_nothing() -> None:
    app = TableApp(frame(50))
    async with app.run_test(size=(80, 12)):
        app.table.filter("L3")
        before = app.table.shown
        problem = app.table.filter("colour>3")
        assert problem is not None
        assert "no column colour" in problem
        assert app.table.shown == before
        assert app.table.filter_text == "L3"


async def test_what_a_word_cannot_be_found_in_is_told() -> None:
    tokens = pl.Series([["eight"], None, None], dtype=pl.List(pl.String))
    app = TableApp(pl.DataFrame({"name": ["a", "b", "c"], "tokens": tokens}))
    async with app.run_test(size=(80, 24)):
        app.table.filter("paris")
        assert app.table.found == "0 of 3, words known of 1"
        app.table.set_frame(pl.DataFrame({"name": ["a", "b"], "tokens": [["x"], ["paris"]]}))
        assert app.table.found == "1 of 2"
