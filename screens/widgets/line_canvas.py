"""Lines of box-drawing characters that meet, branch and cross as they should."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

UP, RIGHT, DOWN, LEFT = range(4)
_STEPS = {(0, -1): UP, (1, 0): RIGHT, (0, 1): DOWN, (-1, 0): LEFT}
# By the weights of the four arms in base 3, up first: nothing, light, heavy.
_JOINTS = " ╴╸╷┐┑╻┒┓╶─╾┌┬┭┎┰┱╺╼━┍┮┯┏┲┳╵┘┙│┤┥╽┧┪└┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
_DASHED = {"─": "╌", "━": "╍", "│": "╎", "┃": "╏"}
LIGHT, HEAVY = 1, 2


@dataclass(slots=True)
class _Cell:
    arms: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    strength: float = float("-inf")
    ink: int = 0
    dashed: bool = True
    arrow: str = ""


class LineCanvas:
    """Cells that lines pass through; a cell has the ink of the strongest line in it."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}

    def line(
        self,
        corners: Sequence[tuple[int, int]],
        *,
        ink: int,
        strength: float,
        heavy: bool = False,
        dashed: bool = False,
        arrow: str = "",
    ) -> None:
        """Draw a line along (x, y) corners, each in one column or one line with the next.

        Args:
            corners: where it begins, turns and ends.
            ink: what the caller paints it with.
            strength: lines of greater strength keep their ink where they meet.
            heavy: draw it thick.
            dashed: draw it broken where no whole line shares its cells.
            arrow: what stands at its end.
        """
        weight = HEAVY if heavy else LIGHT
        places = _places(corners)
        for here, there in itertools.pairwise(places):
            way = _STEPS[there[0] - here[0], there[1] - here[1]]
            for place, arm in ((here, way), (there, (way + 2) % 4)):
                cell = self._cells.setdefault(place, _Cell())
                cell.arms[arm] = max(cell.arms[arm], weight)
                cell.dashed = cell.dashed and dashed
                if strength > cell.strength:
                    cell.strength, cell.ink = strength, ink
        # An end touches what it leads to with its whole cell.
        for end, beside in ((places[0], places[1]), (places[-1], places[-2])):
            way = _STEPS[end[0] - beside[0], end[1] - beside[1]]
            self._cells[end].arms[way] = max(self._cells[end].arms[way], weight)
        if arrow:
            self._cells[places[-1]].arrow = arrow

    def at(self, x: int, y: int) -> tuple[str, int] | None:
        """The character of a cell and its ink; None where no line passes."""
        cell = self._cells.get((x, y))
        if cell is None:
            return None
        if cell.arrow:
            return cell.arrow, cell.ink
        up, right, down, left = cell.arms
        joint = _JOINTS[((up * 3 + right) * 3 + down) * 3 + left]
        return (_DASHED.get(joint, joint) if cell.dashed else joint), cell.ink


def _places(corners: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Every cell along the corners, each once."""
    places = list(corners[:1])
    for x, y in corners[1:]:
        while places[-1] != (x, y):
            before_x, before_y = places[-1]
            step_x = (x > before_x) - (x < before_x)
            step_y = 0 if step_x else (y > before_y) - (y < before_y)
            places.append((before_x + step_x, before_y + step_y))
    return places
