"""CNA of an adapter that changes neurons' own vectors, or how they are read.

The two runs then share neither values nor a readout, so the bounds that let most neurons be left
out do not hold for their difference: every neuron is scored in each of the two models.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis.columns import schema
from analysis.methods.comparison import Comparison
from analysis.methods.neurons import fitting_top, ranked_work
from analysis.model.adapters import wearing
from analysis.steps.cna import CnaStep
from analysis.steps.neurons import NeuronsStep

if TYPE_CHECKING:
    from analysis.methods.importance import Scored
    from analysis.model.model import Model
    from analysis.step import Work


def compare_apart(
    model: Model,
    step: CnaStep,
    adapter: Path,
    runs: tuple[Scored, Scored],
    baseline: dict[str, Any],
) -> Work:
    """CNA of the model that wears an adapter against the one below, each scored as itself.

    Args:
        model: the model below.
        step: what was asked for.
        adapter: folder of the adapter.
        runs: of the model that wears it, and of the model below. Each reads with its own weights;
            the frozen statistics are the first one's.
        baseline: what to record of the runs.
    """
    total = model.info.layers * model.info.neurons
    count = total if step.top is None else fitting_top(model, step.top)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        with wearing(model, adapter):
            worn = _all(model, runs[0])
        below = _all(model, runs[1]).select(
            "name", importance_contrast="importance", coefficient_contrast="coefficient"
        )
        table = worn.join(below, on="name", maintain_order="left").with_columns(
            importance_change=pl.col("importance") - pl.col("importance_contrast"),
            coefficient_change=pl.col("coefficient") - pl.col("coefficient_contrast"),
        )
        table = step.ranked(table).head(count).filter(~pl.col("name").is_in(list(done)))
        columns = schema(step.columns)
        yield table.select(*columns).cast(columns)

    work = _work(model, runs[0])
    return replace(work, expected=count, frames=frames, baseline=baseline | {"certified": True})


def _all(model: Model, run: Scored) -> pl.DataFrame:
    """Every neuron's row in the model as it is now."""
    return pl.concat(list(_work(model, run).frames(())))


def _work(model: Model, run: Scored) -> Work:
    return ranked_work(model, Comparison.of(run), None, {}, schema(NeuronsStep.columns))
