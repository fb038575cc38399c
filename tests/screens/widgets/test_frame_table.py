"""The frame table: order, filter, marks, cursor and hostile text, over few rows and many."""

from __future__ import annotations

import random
from typing import ClassVar

import polars as pl
import pytest
from rich.cells import cell_len
from rich.style import Style
from textual.app import App, ComposeResult
from textual.message import Message

from screens.text import number, visible
from screens.widgets import FrameTable, TableColumn
from screens.widgets.table_column import place, sort_order

HOSTILE = [
    "[red]bold[/red]",
    "line\nbreak",
    "\x1b[31mred",
    "\u202eright to left",
    "八八八八八八八八八八八八八八八八八八",
    "e\u0301" * 9,
    "\u200b",
    "\ufffd",
]


def decimals(value: float | None) -> str:
    return number(value, 3, sign=True)


def tokens(values: list[str] | None) -> str:
    return " ".join(visible(token, quote=False) for token in values or [])


COLUMNS = [
    TableColumn("name", "neuron", 10, sort_by=("layer", "neuron")),
    TableColumn("importance_change", "change", 9, "right", decimals),
    TableColumn("importance", "importance", 11, "right", decimals, min_terminal_width=90),
    TableColumn("tokens", "says", 12, format=tokens, grow=True),
]


def frame(rows: int, layers: int = 30, seed: int = 0) -> pl.DataFrame:
    """Neurons in the model's order with noise for values, some of them missing."""
    rng = random.Random(seed)
    each = -(-rows // layers)
    words = [" eight", "8", "octo", "VIII", *HOSTILE]
    return pl.DataFrame(
        {
            "layer": [row // each for row in range(rows)],
            "neuron": [row % each for row in range(rows)],
        }
    ).with_columns(
        pl.format("L{}N{}", "layer", "neuron").alias("name"),
        pl.Series(
            "importance_change",
            [rng.choice([None, float("nan"), rng.gauss(0, 1), 0.5]) for _ in range(rows)],
        ),
        pl.Series("importance", [rng.gauss(0, 1) for _ in range(rows)]),
        pl.Series("estimated", [rng.random() < 0.5 for _ in range(rows)]),
        pl.Series("tokens", [rng.sample(words, 3) for _ in range(rows)]),
    )


class TableApp(App[None]):
    """One table, keeping what it says."""

    BINDINGS: ClassVar = [("space", "mark"), ("s", "sort"), ("S", "reverse")]

    def __init__(self, data: pl.DataFrame, sort: str | None = "importance_change") -> None:
        super().__init__()
        self.table = FrameTable(COLUMNS, estimated="estimated", sort=sort)
        self.data = data
        self.said: list[Message] = []

    def action_mark(self) -> None:
        self.table.action_mark()

    def action_sort(self) -> None:
        self.table.action_sort_next()

    def action_reverse(self) -> None:
        self.table.action_sort_reverse()

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.table.set_frame(self.data)
        self.table.focus()

    def on_frame_table_row_highlighted(self, event: FrameTable.RowHighlighted) -> None:
        self.said.append(event)

    def on_frame_table_row_selected(self, event: FrameTable.RowSelected) -> None:
        self.said.append(event)

    def on_frame_table_filtered(self, event: FrameTable.Filtered) -> None:
        self.said.append(event)

    def on_frame_table_marks_changed(self, event: FrameTable.MarksChanged) -> None:
        self.said.append(event)


def shown_names(table: FrameTable) -> list[str]:
    """Every name in the order of the table, walking it row by row."""
    names = []
    for cursor in range(table.shown):
        table.cursor = cursor
        names.append(table.current_key or "")
    return names


def line(table: FrameTable, row: int) -> str:
    return table.render_line(1 + row - table.scroll_offset.y).text


# Order -------------------------------------------------------------------------------------


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


# Filter ------------------------------------------------------------------------------------


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


async def test_all_neurons_of_an_eight_billion_model_show_and_sort_at_once() -> None:
    rows = 352_256
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
        assert 0 < sum(map(len, app.table._rows._pages.values())) < 1_000
        assert app.table.current is not None
        assert app.table.current["importance_change"] == data["importance_change"].max()
        await pilot.press("G")
        await pilot.pause()
        assert app.table.current["importance_change"] == data["importance_change"].min()
        assert line(app.table, rows - 1).startswith("▌")


async def test_what_a_word_cannot_be_found_in_is_told() -> None:
    tokens = pl.Series([["eight"], None, None], dtype=pl.List(pl.String))
    app = TableApp(pl.DataFrame({"name": ["a", "b", "c"], "tokens": tokens}))
    async with app.run_test(size=(80, 24)):
        app.table.filter("paris")
        assert app.table.found == "0 of 3, words known of 1"
        app.table.set_frame(pl.DataFrame({"name": ["a", "b"], "tokens": [["x"], ["paris"]]}))
        assert app.table.found == "1 of 2"
