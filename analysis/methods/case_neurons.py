"""CNA in every case of a set, and the mean over them.

The neurons that matter most on the average need not be the first of any case, so they are sought
in two rounds. In each case the largest changes are found and certified (`cna_work`). Whatever
neuron is among those of any case is then scored exactly in every case. A neuron left out changes in
no case by more than the last one found there, so its mean is at most the mean of these.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from analysis import bootstrap
from analysis.interventions import Intervention
from analysis.methods.neurons import DEFAULT_TOP, Directions, cna_of, cna_work, fitting_top
from analysis.progress import within
from analysis.refs import NeuronRef
from analysis.tasks.prompts import Prompt
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model


def each_case_work(
    model: Model,
    prompts: Sequence[Prompt],
    ablate: Sequence[Intervention],
    top: int | None = DEFAULT_TOP,
    neurons: Sequence[NeuronRef] | None = None,
) -> Work:
    """CNA case by case: a frame for each case, a row for each of its neurons.

    Args:
        model: the model.
        prompts: the cases.
        ablate: what the contrasting runs have changed.
        top: how many of a case's largest changes; None: all neurons.
        neurons: which to score instead, in every case.
    """
    for each in ablate:
        model.info.check_parts(each)
    for ref in neurons or ():
        model.info.check_neuron(ref)
    total = model.info.layers * model.info.neurons
    rows = total if top is None else fitting_top(model, top)
    rows = rows if neurons is None else len(neurons)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        known = {case_of(name) for name in done}
        kept = Directions(model)  # many neurons are looked at in many cases
        for case, prompt in enumerate(prompts, start=1):
            if case in known:  # the rows of a case are written together
                continue
            with within(f"case {case:,} of {len(prompts):,}"):
                if neurons is None:
                    work = cna_work(model, prompt, ablate, top=top, kept=kept)
                    table, baseline = pl.concat(list(work.frames(()))), work.baseline
                else:
                    table, baseline = cna_of(model, prompt, ablate, neurons, kept)
            yield table.with_columns(
                pl.format("{} case {}", "name", pl.lit(case)).alias("name"),
                case=pl.lit(case),
                logprob=pl.lit(baseline["logprob"]),
                logprob_contrast=pl.lit(baseline["logprob_contrast"]),
            )

    return Work(len(prompts) * rows, frames)


def case_of(name: str) -> int:
    """The case, from 1, that a row of `each_case_work` is of."""
    return int(name.rpartition(" ")[2])


def union(rows: pl.DataFrame) -> list[NeuronRef]:
    """The neurons in rows of any case, layer by layer."""
    found = rows.select("layer", "neuron").unique().sort("layer", "neuron")
    return [NeuronRef(layer, neuron) for layer, neuron in found.iter_rows()]


def most_left_out(rows: pl.DataFrame) -> float:
    """The mean change of importance is at most this in a neuron that no case's rows have.

    Args:
        rows: of `each_case_work`, each case's largest changes.
    """
    least = rows.group_by("case").agg(pl.col("importance_change").min())
    return float(least.select(pl.col("importance_change").mean()).item())


def means(rows: pl.DataFrame, top: int | None, left_out: float | None, seed: int) -> pl.DataFrame:
    """Means over the cases, a row a neuron, the largest mean change first.

    Args:
        rows: of `each_case_work`, the same neurons in every case.
        top: how many rows; None: all.
        left_out: the most that any other neuron's mean change can be; None: there is no other.
        seed: of the resamples of the intervals.
    """
    numbers = [f"{name}{part}" for name in ("importance", "coefficient") for part in _PARTS]
    table = (
        rows.sort("case")
        .group_by("layer", "neuron", maintain_order=True)
        .agg(
            *(pl.col(name).mean() for name in numbers),
            pl.col("importance_change").alias("case_change"),
            # What it says where it counts most: the sign of its coefficient may turn.
            pl.col("tokens").sort_by("importance_change").last(),
        )
        .sort(["importance_change", "layer", "neuron"], descending=[True, False, False])
    )
    table = table if top is None else table.head(top)
    drawn = [bootstrap.mean(values, seed, 1.0) for values in table["case_change"]]
    alone = rows["case"].n_unique() == 1  # one case says nothing of others
    bound = float("-inf") if left_out is None else left_out
    return table.with_columns(
        pl.format("L{}N{}", "layer", "neuron").alias("name"),
        pl.Series("low", [None if alone else each.low for each in drawn], pl.Float64),
        pl.Series("high", [None if alone else each.high for each in drawn], pl.Float64),
        cases_up=pl.col("case_change").list.eval(pl.element() > 0).list.sum(),
        certified=pl.col("importance_change") > bound,
    )


_PARTS = ("", "_contrast", "_change")


def facts(rows: pl.DataFrame, table: pl.DataFrame, left_out: float | None) -> dict[str, Any]:
    """What to record beside the means of `means`."""
    runs = rows.unique("case")
    return {
        "cases": runs.height,
        "logprob": runs["logprob"].mean(),
        "logprob_contrast": runs["logprob_contrast"].mean(),
        "certified_rows": int(table["certified"].sum()),
        "left_out_at_most": left_out,
    }
