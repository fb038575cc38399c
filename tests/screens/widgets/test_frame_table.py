"""The frame table: marks, cursor, columns and hostile text, over few rows and many."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from rich.cells import cell_len
from rich.style import Style
from tables import HOSTILE, TableApp, decimals, frame, line

from screens.widgets.frame_table import FrameTable
from screens.widgets.table_rows import TableColumn, place

# Filter ------------------------------------------------------------------------------------


async def test_the_cursor_stays_on_its_row_while_the_filter_lets_it() -> None:
    app = TableApp(frame(120), sort="name")
    async with app.run_test(size=(80, 12)) as pilot:
        app.table.move_to("L20N1")
        app.table.filter("L20")
        assert app.table.current_key == "L20N1"
        app.table.filter("")
        await pilot.pause()
        assert app.table.current_key == "L20N1"
        assert "▌" in line(app.table, app.table.cursor)
        app.table.filter("L3 change>99")
        await pilot.pause()
        assert app.table.shown == 0
        assert app.table.current is None
        await pilot.press("j", "enter", "space", "G")


# Streaming ---------------------------------------------------------------------------------


async def test_the_cursor_finds_its_row_in_the_next_frame() -> None:
    data = frame(80)
    app = TableApp(data.head(40), sort="importance")
    async with app.run_test(size=(120, 12)) as pilot:
        app.table.move_to("L3N1")
        app.table.set_frame(data, keep_cursor_on="name")
        await pilot.pause()
        assert app.table.current_key == "L3N1"
        assert app.table.total == 80
        app.table.cursor = 5
        app.table.set_frame(data.head(3))
        assert app.table.cursor == 2


async def test_a_row_is_announced_once_until_it_changes() -> None:
    data = frame(20).with_columns(pl.lit(0.5).alias("importance_change"))
    app = TableApp(data, sort=None)
    async with app.run_test(size=(80, 12)) as pilot:
        for _ in range(3):
            app.table.set_frame(data, keep_cursor_on="name")
        await pilot.pause()
        events = [e for e in app.said if isinstance(e, FrameTable.RowHighlighted)]
        assert [e.key for e in events] == ["L0N0"]
        app.table.set_frame(data.with_columns(pl.lit(0.7).alias("importance_change")))
        await pilot.pause()
        event = app.said[-1] if isinstance(app.said[-1], FrameTable.RowHighlighted) else None
        events = [e for e in app.said if isinstance(e, FrameTable.RowHighlighted)]
        assert event is None or event.row["importance_change"] == 0.7
        assert [e.row["importance_change"] for e in events] == [0.5, 0.7]


# Cursor, marks, mouse ----------------------------------------------------------------------


async def test_keys_move_through_the_rows() -> None:
    app = TableApp(frame(100), sort="name")
    async with app.run_test(size=(80, 12)) as pilot:
        for keys, cursor in [
            (["down", "j", "j"], 3),
            (["up", "k"], 1),
            (["pagedown"], 11),
            (["G"], 99),
            (["down"], 99),
            (["pageup"], 89),
            (["g"], 0),
            (["end"], 99),
            (["home"], 0),
        ]:
            await pilot.press(*keys)
            assert app.table.cursor == cursor
            await pilot.pause()
            assert line(app.table, cursor).startswith("▌")
        await pilot.press("enter")
        await pilot.pause()
        last = app.said[-1]
        assert isinstance(last, FrameTable.RowSelected)
        assert (last.key, last.row["layer"], last.control) == ("L0N0", 0, app.table)


async def test_space_marks_rows_and_marks_outlive_sorting_and_filters() -> None:
    app = TableApp(frame(100), sort="name")
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.press("space", "space", "k", "space")
        await pilot.pause()
        assert app.table.marked == {"L0N0"}
        assert "●" in line(app.table, 0)
        assert "●" not in line(app.table, 1)
        assert sum(isinstance(e, FrameTable.MarksChanged) for e in app.said) == 3
        app.table.filter("L5")
        app.table.sort("importance_change")
        assert app.table.marked == {"L0N0"}
        app.table.set_marked([])
        app.table.filter("")
        app.table.sort("name")
        assert "●" not in line(app.table, 0)


async def test_the_first_order_has_its_arrow_and_sorting_leaves_the_row_where_it_is() -> None:
    data = frame(400).sort("importance", descending=True)
    app = TableApp(data, sort=None, comes_by=("importance", True))
    async with app.run_test(size=(120, 22)) as pilot:
        assert "▼importance" in app.table.render_line(0).text
        await pilot.press(*["pagedown"] * 3, "up", "up")
        key, line = app.table.current_key, app.table.cursor - app.table.scroll_offset.y
        for press, order in (
            (app.table.action_sort_reverse, ("importance", False)),
            (app.table.action_sort_next, ("tokens", False)),
            (app.table.action_sort_next, ("name", False)),
        ):
            press()
            await pilot.pause()
            assert (app.table.sorted_by, app.table.descending) == order
            assert app.table.current_key == key
            rows = range(app.table.cursor - line, app.table.cursor - line + 20)
            if rows.start >= 0 and rows.stop < 400:
                assert app.table.cursor - app.table.scroll_offset.y == line
        app.table.sort("importance")
        assert app.table.copied(True).equals(data)  # as they came


async def test_the_mouse_moves_opens_and_sorts() -> None:
    app = TableApp(frame(100), sort="name")
    async with app.run_test(size=(80, 12)) as pilot:
        await pilot.click(app.table, offset=(5, 4))
        assert app.table.cursor == 3
        await pilot.click(app.table, offset=(5, 4), times=2)
        await pilot.pause()
        assert isinstance(app.said[-1], FrameTable.RowSelected)
        x = app.table.render_line(0).text.index("change")
        await pilot.click(app.table, offset=(x, 0))
        assert (app.table.sorted_by, app.table.descending) == ("importance_change", True)
        await pilot.click(app.table, offset=(x, 0))
        assert not app.table.descending
        app.table.scroll_to(y=40, animate=False)
        await pilot.pause()
        await pilot.click(app.table, offset=(5, 1))
        assert app.table.cursor == 40


# Drawing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120])
async def test_hostile_tokens_neither_break_the_grid_nor_act(width: int) -> None:
    data = frame(len(HOSTILE), layers=1).with_columns(
        pl.Series("tokens", [[token] for token in HOSTILE])
    )
    app = TableApp(data, sort=None)
    async with app.run_test(size=(width, 14)) as pilot:
        await pilot.pause()
        for row in range(len(HOSTILE)):
            text = line(app.table, row)
            assert cell_len(text) == width
            assert not set(text) & {"\n", "\x1b", "\u202e", "\u200b"}
        assert "[red]bold[/" in line(app.table, 0)
        says = app.table.render_line(0).text.index("says")
        assert line(app.table, 1)[says:].startswith(r"line\nbreak")


async def test_estimates_are_dim_and_say_so() -> None:
    data = frame(2, layers=1).with_columns(
        pl.Series("importance_change", [0.25, 0.25]), pl.Series("estimated", [True, False])
    )
    app = TableApp(data, sort=None)
    async with app.run_test(size=(80, 12)) as pilot:
        app.table.cursor = 1
        await pilot.pause()
        assert "~+0.250" in line(app.table, 0)
        assert "~" not in line(app.table, 1)
        colors = [
            next(s.style.color for s in app.table.render_line(y) if "0.250" in s.text and s.style)
            for y in (1, 2)
        ]
        assert colors[0] != colors[1]


async def test_a_column_appears_when_the_terminal_is_wide_enough() -> None:
    app = TableApp(frame(5))
    async with app.run_test(size=(80, 12)) as pilot:
        assert "importance" not in app.table.render_line(0).text
        await pilot.resize_terminal(120, 12)
        await pilot.pause()
        assert "importance" in app.table.render_line(0).text


def test_growing_columns_share_the_spare_cells_and_late_ones_give_way() -> None:
    columns = [
        TableColumn("a", "a", 10),
        TableColumn("b", "b", 10, grow=True),
        TableColumn("c", "c", 10, grow=True),
    ]
    assert [placed.width for placed in place(columns, 80, 41)] == [10, 13, 14]
    assert [placed.column.name for placed in place(columns, 80, 30)] == ["a", "b"]
    assert [placed.column.name for placed in place(columns, 80, 3)] == ["a"]


async def test_a_style_rule_inks_its_cells_only() -> None:
    red = Style(color="#ff0000")
    columns = [
        TableColumn("name", "neuron", 10),
        TableColumn(
            "importance",
            "importance",
            11,
            "right",
            decimals,
            style=lambda v: red if v < 0 else None,
        ),
    ]
    data = pl.DataFrame({"name": ["L0N0", "L0N1"], "importance": [-1.0, 1.0]})
    app = TableApp(data, sort=None)
    async with app.run_test(size=(80, 12)) as pilot:
        app.table.set_columns(columns)
        await pilot.pause()
        inks = [
            [
                s.style.color == red.color
                for s in app.table.render_line(y)
                if s.style and s.text.strip()
            ]
            for y in (1, 2)
        ]
        assert inks[0][-1]
        assert not any(inks[0][:-1])
        assert not any(inks[1])


# Many rows ---------------------------------------------------------------------------------


async def test_all_neurons_of_an_eight_billion_model_show_and_sort_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = 352_256
    plain, built = pl.DataFrame.rows, []

    def counted(frame: pl.DataFrame, **how: bool) -> list[Any]:
        built.append(frame.height)
        return plain(frame, **how)

    monkeypatch.setattr(pl.DataFrame, "rows", counted)
    data = pl.DataFrame({"row": range(rows)}).select(
        pl.format("L{}N{}", pl.col("row") // 11008, pl.col("row") % 11008).alias("name"),
        (pl.col("row") // 11008).alias("layer"),
        (pl.col("row") % 11008).alias("neuron"),
        ((pl.col("row") * 7919) % 352_261).cast(pl.Float64).alias("importance_change"),
        pl.col("row").cast(pl.Float64).alias("importance"),
    )
    app = TableApp(data.head(0))
    async with app.run_test(size=(80, 24)) as pilot:
        app.table.set_frame(data)
        app.table.sort("importance_change", True)
        await pilot.pause()
        # Only the rows in sight are built: it takes 0.2 s, and half a minute for all of them.
        assert 0 < sum(built) < 1_000
        assert app.table.current is not None
        assert app.table.current["importance_change"] == data["importance_change"].max()
        await pilot.press("G")
        await pilot.pause()
        assert app.table.current["importance_change"] == data["importance_change"].min()
        assert line(app.table, rows - 1).startswith("▌")
