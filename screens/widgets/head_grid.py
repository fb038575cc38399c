"""What a head map shows: a value for each head, how sure it is, and the scale they share."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from analysis.refs import HeadRef
from screens.ramps import PENDING, amount_ramp, change_ramp
from screens.widgets.cell_paint import Look

Values = Mapping[HeadRef, float | None] | Sequence[Sequence[float | None]]
"""A number for each head, or rows [layer][head]; None and NaN are pending."""

Exact = bool | Collection[HeadRef]
"""Whether all values are exact, or the heads whose values are."""


class HeadGrid:
    """Values [layers, heads] with the ramp step of each.

    Args:
        layers: number of layers.
        heads: number of heads in each.
        centred: the values are changes around zero rather than amounts.
    """

    def __init__(self, layers: int, heads: int, centred: bool) -> None:
        self.layers = layers
        self.heads = heads
        self.centred = centred
        self.marked: frozenset[HeadRef] = frozenset()
        self.fixed: tuple[float, float] | None = None
        """The scale, if it does not follow the values."""
        self._range = self._levelled = (0.0, 0.0)
        self.empty()

    def empty(self) -> None:
        """Make all values pending."""
        self._values = [[math.nan] * self.heads for _ in range(self.layers)]
        self._levels = [[PENDING] * self.heads for _ in range(self.layers)]
        self._exact = [[False] * self.heads for _ in range(self.layers)]

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest value: the fixed ones, else those seen."""
        return self.fixed or self._range

    def value(self, head: HeadRef) -> float | None:
        """The value of a head; None while it is pending."""
        if not self.holds(head):
            return None
        value = self._values[head.layer][head.index]
        return None if math.isnan(value) else value

    def holds(self, head: HeadRef) -> bool:
        """Whether the grid has such a head."""
        return 0 <= head.layer < self.layers and 0 <= head.index < self.heads

    def look(self, layer: int, head: int, cursor: HeadRef) -> Look:
        """How a head is to be drawn."""
        ref = HeadRef(layer, head)
        return Look(
            self._levels[layer][head],
            self._exact[layer][head],
            ref in self.marked,
            ref == cursor,
        )

    def strongest(self, layer: int) -> tuple[Look, float]:
        """How the strongest value of a layer is to be drawn, and its share of the largest of all.

        The share goes by the square root where the ramp does.
        """
        values = self._values[layer]
        head = max(range(self.heads), key=lambda head: _size(values[head]))
        look = self.look(layer, head, HeadRef(layer, head))._replace(marked=False, cursor=False)
        reach = max(abs(end) for end in self.scale)
        share = min(_size(values[head]) / reach, 1.0) if reach else 0.0
        return look, math.sqrt(max(share, 0.0)) if self.centred else max(share, 0.0)

    def store(self, values: Values, exact: Exact) -> list[HeadRef]:
        """Take these values over.

        Returns:
            The heads that now look different.

        Raises:
            ValueError: a head lies outside the grid.
        """
        if not isinstance(values, Mapping):
            values = {
                HeadRef(layer, head): value
                for layer, row in enumerate(values)
                for head, value in enumerate(row)
            }
        for head in values:
            if not self.holds(head):
                raise ValueError(f"{head} is outside a map of {self.layers} × {self.heads} heads")
        for head, value in values.items():
            self._values[head.layer][head.index] = math.nan if value is None else float(value)
            self._exact[head.layer][head.index] = (
                exact if isinstance(exact, bool) else head in exact
            )
            self._level(head.layer, head.index)
        return list(values)

    def rescale(self) -> bool:
        """Let the scale follow the values, and the steps the scale.

        Returns:
            Whether the scale changed.
        """
        seen = [value for row in self._values for value in row if math.isfinite(value)]
        self._range = (min(seen), max(seen)) if seen else (0.0, 0.0)
        if self.scale == self._levelled:
            return False
        self._levelled = self.scale
        for layer in range(self.layers):
            for head in range(self.heads):
                self._level(layer, head)
        return True

    def _level(self, layer: int, head: int) -> None:
        # Steps are the same for dark and light themes, so either ramp counts them.
        ramp = change_ramp() if self.centred else amount_ramp()
        self._levels[layer][head] = ramp.index(self._values[layer][head], *self.scale)


def _size(value: float) -> float:
    """How far a value is from zero; a missing one is less than any."""
    return -1.0 if math.isnan(value) else abs(value)
