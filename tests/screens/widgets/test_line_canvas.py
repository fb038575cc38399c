"""Lines meet as box-drawing characters do."""

from __future__ import annotations

import pytest

from screens.widgets.chain_view import LineCanvas


def drawn(canvas: LineCanvas, width: int, height: int) -> list[str]:
    rows = [[canvas.at(x, y) for x in range(width)] for y in range(height)]
    return ["".join(" " if cell is None else cell[0] for cell in row) for row in rows]


def line(canvas: LineCanvas, *corners: tuple[int, int], **look) -> None:
    canvas.line(corners, **{"ink": 0, "strength": 0.0} | look)


def test_lines_join_where_they_meet():
    canvas = LineCanvas()
    line(canvas, (0, 0), (3, 0), (3, 1), (5, 1), arrow="▶")
    line(canvas, (0, 1), (5, 1), arrow="▶")
    line(canvas, (0, 2), (3, 2), (3, 1), (5, 1), arrow="▶")
    assert drawn(canvas, 6, 3) == ["───┐  ", "───┼─▶", "───┘  "]


def test_a_thick_arm_stays_thick_at_a_joint():
    canvas = LineCanvas()
    line(canvas, (0, 0), (2, 0), (2, 1), (4, 1), heavy=True)
    line(canvas, (0, 1), (4, 1))
    line(canvas, (0, 2), (2, 2), (2, 1), (4, 1))
    assert drawn(canvas, 5, 3) == ["━━┓  ", "──╄━━", "──┘  "]


def test_a_line_is_broken_only_where_no_whole_one_shares_it():
    canvas = LineCanvas()
    line(canvas, (0, 0), (2, 0), (2, 2), dashed=True)
    line(canvas, (0, 1), (2, 1), (2, 2))
    assert drawn(canvas, 3, 3) == ["╌╌┐", "──┤", "  │"]


def test_the_strongest_line_gives_the_ink():
    canvas = LineCanvas()
    line(canvas, (0, 0), (3, 0), ink=7, strength=0.2)
    line(canvas, (1, 0), (5, 0), ink=3, strength=0.9)
    line(canvas, (0, 0), (5, 0), ink=1, strength=0.1)
    inks = [canvas.at(x, 0) for x in range(6)]
    assert [ink for _, ink in filter(None, inks)] == [7, 3, 3, 3, 3, 3]


@pytest.mark.parametrize("corners", [[(2, 0), (0, 0), (0, 2), (2, 2)], [(0, 2), (0, 0)]])
def test_a_line_may_run_either_way(corners):
    there, back = LineCanvas(), LineCanvas()
    line(there, *corners)
    line(back, *reversed(corners))
    assert drawn(there, 3, 3) == drawn(back, 3, 3)
