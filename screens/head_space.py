"""How screen 2 shares its space between the map, the reading beside it and the ranking below."""

from __future__ import annotations

from dataclasses import dataclass

from screens.widgets.head_layout import HEADER, HeadLayout

LEGEND = 1
BARS = 3
"""Lines below the heads for the layer bars, with a blank one on either side."""
LEAST_RANKING, MOST_RANKING = 6, 16
"""Lines of the ranking; where there are fewer, one line names the heads that harm most."""
LEAST_READING = 11
"""Columns of the reading; it has all that the map leaves."""
MARGIN = 1
"""Columns left of the map."""


@dataclass(frozen=True, slots=True)
class HeadSpace:
    """The parts of one screen; the map takes what is left."""

    reading: int
    """Columns of the reading."""
    below: int
    """Lines below the legend: none, one for the top heads, or a ranking."""
    padded: bool
    """Whether a line above the map stays blank."""

    @classmethod
    def share(
        cls, width: int, height: int, shape: tuple[int, int], halves: bool = True
    ) -> HeadSpace:
        """Share out a space; the whole map comes first, then the rest in order of worth.

        Args:
            width: columns.
            height: lines, without those of results that stand below the map.
            shape: layers and heads of the map.
            halves: two heads may share a line.
        """
        layers, heads = shape
        room = height - LEGEND - HEADER
        rows = (heads + 1) // 2 if halves and heads > room else heads
        spare = room - rows
        if spare >= LEAST_RANKING + BARS + 1:
            below = min(spare - BARS - 1, MOST_RANKING)
        else:
            # A map that scrolls anyway gives up a line.
            below = 0 if spare == 0 else 1
        padded = spare - below > 1
        map_height = height - LEGEND - below - padded
        widest = width - MARGIN - LEAST_READING
        needed = HeadLayout.fit(layers, heads, widest, map_height, halves).size.width
        return cls(width - MARGIN - min(needed, widest), below, padded)


BESIDE_TWO = HeadSpace(reading=14, below=2, padded=True)
"""What two maps leave; below stands how far they are apart, and how far alike."""
