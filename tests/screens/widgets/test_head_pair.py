"""Two maps of heads: where each fits, and what their difference is."""

from __future__ import annotations

import math

import pytest
from rich.cells import cell_len

from analysis.refs import HeadRef
from screens.widgets.cell_grid import HEADER, CellLayout
from screens.widgets.head_pair import (
    BETWEEN,
    CAPTION,
    GAP,
    HeadPicture,
    arrangement,
    scale_of,
    tabs_of_two,
)

HEADS = [HeadRef(0, 0), HeadRef(0, 1), HeadRef(1, 0), HeadRef(1, 1)]


@pytest.mark.parametrize(
    ("shape", "space", "expected"),
    [
        ((30, 9), (64, 13), "one"),
        ((30, 9), (105, 24), "column"),
        ((30, 9), (105, 18), "row"),
        ((30, 9), (145, 16), "row"),
        ((12, 12), (65, 14), "row"),
        ((32, 32), (65, 13), "one"),
        ((32, 32), (105, 24), "row"),
        ((32, 32), (105, 40), "row"),
    ],
)
def test_two_maps_lie_where_both_fit_whole(shape, space, expected):
    lies = arrangement(shape, *space)
    assert lies == expected
    width, height = space
    each = {
        "row": ((width - GAP) // 2, height - CAPTION),
        "column": (width, (height - 1) // 2 - CAPTION),
    }
    if lies != "one":
        whole = CellLayout.fit(*shape, *each[lies]).size
        assert whole.width <= each[lies][0]
        assert HEADER < whole.height <= each[lies][1]


@pytest.mark.parametrize("width", [17, 20, 44, 64, 200])
@pytest.mark.parametrize(
    "names",
    [
        ("zeroing one head at a time", "the mean of each head in its place"),
        ("add1", "zeroing one head at a time"),
        ("zeroing one head at a time", "数学" * 9),
    ],
)
def test_names_are_cut_so_that_every_face_is_seen_whole(names, width):
    tabs = tabs_of_two(*names, width)
    assert tabs["difference"] == "B − A"
    assert (tabs["a"][0], tabs["b"][0]) == ("A", "B")
    assert cell_len(BETWEEN.join(tabs.values())) <= width
    if width == 200:
        assert (tabs["a"][3:], tabs["b"][3:]) == names
    if width == 44 and names[0] == "add1":
        assert tabs["a"] == "A  add1"


def test_the_difference_is_of_heads_that_both_know_and_exact_where_both_are():
    a = HeadPicture({HEADS[0]: -2.0, HEADS[1]: 0.5, HEADS[2]: 0.1}, {HEADS[0], HEADS[1]})
    b = HeadPicture({HEADS[0]: -0.5, HEADS[1]: -1.5, HEADS[3]: 9.0}, {HEADS[0], HEADS[3]})
    apart = b.above(a)
    assert apart.values == {HEADS[0]: 1.5, HEADS[1]: -2.0}
    assert apart.exact == {HEADS[0]}
    assert apart.ranked == [(HEADS[0], 1.5)]


def test_runs_rank_by_harm_and_their_difference_by_size():
    values = dict(zip(HEADS, (0.5, -2.0, 1.0, -0.1), strict=True))
    run, apart = HeadPicture(values, set(HEADS)), HeadPicture(values, set(HEADS), by_size=True)
    assert run.most(3) == [HEADS[1], HEADS[3], HEADS[0]]
    assert apart.most(3) == [HEADS[1], HEADS[2], HEADS[0]]


def test_the_scale_spans_both_runs_and_leaves_out_what_is_no_number():
    a, b = HeadPicture({HEADS[0]: -2.0, HEADS[1]: math.nan}), HeadPicture({HEADS[0]: 0.5})
    assert scale_of(a, b) == (-2.0, 0.5)
    assert scale_of(HeadPicture()) == (0.0, 0.0)
