"""The curve of screen 6: what adapters on single layers come to (paper Fig. 2)."""

from __future__ import annotations

import polars as pl
from textual_plotext import PlotextPlot

from analysis.step import Step
from analysis.steps import LoraStep

TICKS = 15
"""Layers named below a curve, at most."""
MARGIN = 5
"""Percent above and below it."""


class LayerCurve(PlotextPlot):
    """Accuracy by layer, filling while layers are trained; not there where there is no curve."""

    def show(self, step: Step, rows: pl.DataFrame, room: bool) -> None:
        """Draw the finished layers of a training, if it is one and there is room."""
        done = LoraStep.finished(rows) if isinstance(step, LoraStep) else rows.clear()
        self.display = done.height > 1 and room
        if not self.display:
            return
        done = done.sort("layer")
        plot = self.plt
        plot.clear_data()
        layers, tested = done["layer"].to_list(), (100 * done["accuracy"]).to_list()
        original = 100 * done["original_accuracy"][0]
        plot.plot(layers, tested, marker="braille")
        plot.hline(original)
        plot.xticks(layers[:: -(-len(layers) // TICKS)])
        plot.ylim(
            max(0, min(*tested, original) - MARGIN), min(100, max(*tested, original) + MARGIN)
        )
        plot.title(f"tested, % by layer; the line: before, {original:.1f}")
        self.refresh()
