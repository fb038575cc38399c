"""Where heads lie in a map: layouts, labels, bars."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.geometry import Region

from screens.widgets.cell_grid import HEADER, CellLayout


@pytest.mark.parametrize(
    ("layers", "heads", "width", "height", "pitch", "fill", "halves"),
    [
        (20, 9, 80, 20, 3, 2, False),
        (30, 9, 80, 20, 2, 2, False),
        (32, 32, 80, 20, 2, 2, True),
        (60, 12, 80, 20, 1, 1, False),
        (80, 64, 80, 20, 1, 1, True),
    ],
)
def test_a_map_takes_the_roomiest_layout_that_fits(
    layers: int, heads: int, width: int, height: int, pitch: int, fill: int, halves: bool
) -> None:
    layout = CellLayout.fit(layers, heads, width, height)
    assert (layout.pitch, layout.fill, layout.halves) == (pitch, fill, halves)


def test_thirty_two_by_thirty_two_fits_a_small_terminal() -> None:
    layout = CellLayout.fit(32, 32, 78, 18)
    assert layout.size.width <= 78
    assert layout.size.height <= 18


@given(st.integers(1, 130), st.integers(1, 130), st.integers(20, 200), st.integers(5, 60))
def test_every_head_lies_where_its_point_says(
    layers: int, heads: int, width: int, height: int
) -> None:
    layout = CellLayout.fit(layers, heads, width, height)
    whole = Region(0, 0, *layout.size)
    for layer in {0, layers // 2, layers - 1}:
        for head in {0, heads // 2, heads - 1}:
            region = layout.region(layer, head)
            x = region.x + layout.gap
            assert layout.at(x, region.y) == (layer, layout.row_of(head))
            assert head in layout.cells_of(layout.row_of(head))
            assert whole.contains_region(Region(x, region.y, layout.fill, 1))
    assert layout.at(layout.gutter - 1, HEADER) is None
    assert layout.at(layout.gutter, HEADER + layout.rows) is None


def test_layers_are_numbered_in_fives_and_the_last_if_there_is_room() -> None:
    layout = CellLayout.fit(30, 9, 100, 20)
    assert [layout.tick(layer) for layer in (0, 5, 7, 25, 29)] == ["0", "5", None, "25", "29"]
    crowded = CellLayout.fit(32, 9, 80, 20)
    assert crowded.tick(30) == "30"
    assert crowded.tick(31) is None


@pytest.mark.parametrize(
    ("heads", "height", "footer"), [(9, 20, 2), (9, 11, 1), (9, 10, 0), (32, 17, 0), (64, 17, 1)]
)
def test_the_bars_take_no_line_from_a_map_that_just_fits(heads, height, footer) -> None:
    layout = CellLayout.fit(32, heads, 80, height)
    assert layout.footer == footer
    assert (not layout.below(height)) == (footer == 0)
