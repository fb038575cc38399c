"""The one-line widgets: bars, progress, status."""

from __future__ import annotations

import math

import pytest
from textual.app import App, ComposeResult

from screens.widgets.bars import layer_histogram, signed_bar, sparkline
from screens.widgets.lines import ProgressLine, StatusItem, StatusLine, choose


class LinesApp(App[None]):
    def compose(self) -> ComposeResult:
        yield ProgressLine()
        yield StatusLine()


@pytest.mark.parametrize(
    ("values", "bars"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], "▁▂▃▄▅▆▇█"),
        ([0.0, None, 7.0, math.nan], "▁·█·"),
        ([-7.0, 0.0], "▁█"),
        ([3.0, 3.0], "██"),
        ([0.0, 0.0], "▁▁"),
        ([None, None], "··"),
        ([], ""),
    ],
)
def test_bars_start_at_zero_and_reach_the_largest(values: list[float | None], bars: str) -> None:
    assert sparkline(values) == bars


def test_a_fixed_range_makes_two_histograms_comparable() -> None:
    assert sparkline([1, 2], low=0, high=4) == "▃▅"
    assert sparkline([-9, 9], low=0, high=4) == "▁█"


def test_a_histogram_gives_up_its_range_and_then_its_label() -> None:
    values = [0.0, 1.5, 3.0]
    assert layer_histogram(values).plain == "by layer  ▁▅█  0.00 to 3.00"
    assert layer_histogram(values, width=20).plain == "by layer  ▁▅█"
    assert layer_histogram(values, width=8).plain == "▁▅█"
    assert layer_histogram(values, label="[red]x").plain.startswith("[red]x  ")


@pytest.mark.parametrize(
    ("value", "bar"),
    [(2.0, "      │██████"), (-1.0, "   ███│"), (0.0, "      │"), (None, ""), (math.inf, "")],
)
def test_a_bar_beside_a_number_has_its_sign_and_size(value: float | None, bar: str) -> None:
    assert signed_bar(value, largest=2.0) == bar


async def test_progress_fills_its_line_and_leaves_no_trace() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)) as pilot:
        line = app.query_one(ProgressLine)
        assert line.render_line(0).text == " " * 80
        line.show("sweep", 212, 270, 11, hint="esc stops")
        text = line.render_line(0).text
        words = "212 of 270 · 11 s left · esc stops"
        assert text.startswith("sweep  ━")
        assert text.endswith(words)
        done, left = text.count("━"), text.count("─")
        assert done + left == 80 - len("sweep") - len(words) - 4
        assert done / (done + left) == pytest.approx(212 / 270, abs=1 / (done + left))
        assert line.active
        line.idle()
        await pilot.pause()
        assert line.render_line(0).text == " " * 80
        assert line.size.height == 1


async def test_progress_is_full_only_when_all_is_done() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)):
        line = app.query_one(ProgressLine)
        line.show("sweep", 269, 270)
        assert "─" in line.render_line(0).text
        line.show("sweep", 270, 270)
        assert "─" not in line.render_line(0).text
        line.show("loading", 3, None, hint="")
        assert line.render_line(0).text.rstrip() == "loading"


async def test_a_narrow_progress_line_keeps_its_words() -> None:
    app = LinesApp()
    async with app.run_test(size=(44, 5)):
        line = app.query_one(ProgressLine)
        line.show("sweep", 212, 270, 11, hint="esc stops")
        assert line.render_line(0).text.rstrip() == "sweep  212 of 270 · 11 s left · esc stops"


async def test_a_progress_line_leaves_out_whole_what_matters_least() -> None:
    app = LinesApp()
    async with app.run_test(size=(34, 5)) as pilot:
        line = app.query_one(ProgressLine)
        for width, words in (
            (41, "212 of 270 · 11 s left · esc stops"),
            (40, "212 of 270 · esc stops"),
            (20, "esc stops"),
        ):
            await pilot.resize_terminal(width, 5)
            line.show("sweep", 212, 270, 11, hint="esc stops")
            text = line.render_line(0).text
            assert text.split()[0] == "sweep"
            assert text.rstrip().endswith(f"  {words}")


async def test_what_is_done_for_the_next_row_shows_where_there_is_room() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)) as pilot:
        line = app.query_one(ProgressLine)
        doing = "rate 0.001 epoch 2"
        line.show("lora", 2, 39, 11, "esc stops", doing, 0.75)
        text = line.render_line(0).text
        assert text.startswith("lora  rate 0.001 epoch 2  ━")
        assert text.endswith("  2 of 39 · 11 s left · esc stops")
        await pilot.resize_terminal(60, 5)
        assert doing not in line.render_line(0).text


async def test_a_row_under_way_fills_its_part_of_the_line() -> None:
    app = LinesApp()
    async with app.run_test(size=(80, 5)):
        line = app.query_one(ProgressLine)
        line.show("lora", 0, 2)
        assert "━" not in line.render_line(0).text
        line.show("lora", 0, 2, under_way=0.5)
        text = line.render_line(0).text
        full = text.count("━")
        assert full / (full + text.count("─")) == pytest.approx(0.25, abs=0.02)


def test_the_least_important_facts_go_first_and_the_first_never() -> None:
    items = [
        StatusItem("smollm2 float32 cpu"),
        StatusItem("parity 3e-6", "ok", 2),
        StatusItem("1.2 of 24 GB"),
        StatusItem(""),
        StatusItem("2 unsaved edits", "warn", 9),
    ]

    def shown(width: int) -> list[str]:
        return [item.text for item in choose(items, width)]

    assert shown(80) == ["smollm2 float32 cpu", "parity 3e-6", "1.2 of 24 GB", "2 unsaved edits"]
    assert shown(60) == ["smollm2 float32 cpu", "parity 3e-6", "2 unsaved edits"]
    assert shown(40) == ["smollm2 float32 cpu", "2 unsaved edits"]
    assert shown(10) == ["smollm2 float32 cpu"]


async def test_the_status_line_is_exact_and_plain() -> None:
    app = LinesApp()
    async with app.run_test(size=(60, 5)):
        line = app.query_one(StatusLine)
        line.set_items(["model [b]", StatusItem("parity\n3e-1", "error")])
        strip = line.render_line(0)
        assert strip.text.rstrip() == r"model [b] │ parity\n3e-1"
        assert strip.cell_length == 60
        colors = {s.text: s.style.color for s in strip if s.style}
        assert colors[r"parity\n3e-1"] != colors["model [b]"]
        line.set_items(["x" * 100])
        assert line.render_line(0).text == "x" * 59 + "…"
