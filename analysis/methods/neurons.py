"""Ranking neurons by importance (one run) or by its change (two runs): certified top k.

Bounds tell which neurons can be among the k largest; only those are scored exactly, most
promising first, and a row is yielded once no other neuron can come before it. The rows are those
that scoring every neuron would give, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import schema
from analysis.errors import InputError
from analysis.methods.comparison import Comparison, PooledBounds
from analysis.methods.forecast import scores_bytes
from analysis.methods.importance import Range, Scored
from analysis.model.adapters import wearing
from analysis.model.scoring import with_answers
from analysis.model.trace import Trace, trace
from analysis.progress import checkpoint
from analysis.step import Work
from analysis.steps.cna import CnaStep
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.neurons import NeuronsStep

DEFAULT_TOP = 100
TOKENS_SHOWN = 10
CHUNK = {"cpu": 64, "cuda": 1_024}
"""Neurons scored exactly at once; each needs a few vectors as long as the vocabulary."""


@torch.no_grad()
def start_neurons(step: NeuronsStep, model: Model) -> Work:
    """Bind an importance ranking to a model."""
    answer, run, baseline = first_run(model, step.prompt)
    scored = Scored.prepare(run, run.freeze(model), answer)
    return ranked_work(model, Comparison.of(scored), step.top, baseline, schema(step.columns))


@torch.no_grad()
def start_cna(step: CnaStep, model: Model) -> Work:
    """Bind a comparison of two runs to a model."""
    for each in step.contrast:
        model.check_parts(each)
    adapter = None if step.adapter is None else step.adapter.expanduser()
    with nullcontext(True) if adapter is None else wearing(model, adapter) as same_values:
        answer, run, baseline = first_run(model, step.prompt)
        scored = Scored.prepare(run, run.freeze(model), answer)
    readout = run.freeze(model)
    other = step.prompt if step.against is None else step.against
    contrast = trace(model, model.encode(other).ids, step.contrast)
    logprob = _log_prob(model, contrast, answer)
    baseline["prob_contrast"] = float(torch.tensor(logprob).exp())
    baseline["logprob_contrast"] = logprob
    other_scored = Scored.prepare(contrast, readout, answer)
    if adapter is not None and not same_values:
        from analysis.methods.apart import compare_apart

        return compare_apart(model, step, adapter, (scored, other_scored), baseline)
    both = Comparison.of(scored, other_scored)
    return ranked_work(model, both, step.top, baseline, schema(step.columns))


@torch.no_grad()
def most_changed(
    model: Model, run: Trace, contrast: Trace, answer: tuple[int, ...], top: int
) -> pl.DataFrame:
    """CNA of two runs that are there already: the largest gains of importance, exactly.

    Args:
        model: the model. Neurons' values must be the same in both runs.
        run: gives the frozen final norm.
        contrast: what it is compared with.
        answer: the answer's first token, or those of which any will do.
        top: how many neurons.

    Returns:
        Rows of a `CnaStep`, largest change first.

    Raises:
        InputError: the model has fewer neurons.
    """
    readout = run.freeze(model)
    both = Comparison.of(*(Scored.prepare(each, readout, answer) for each in (run, contrast)))
    work = ranked_work(model, both, top, {}, schema(CnaStep.columns))
    return pl.concat(list(work.frames(())))


def fitting_top(model: Model, top: int) -> int:
    """How many rows to find where so many are asked for.

    Raises:
        InputError: the model has fewer neurons.
    """
    total = model.info.layers * model.info.neurons
    if top == DEFAULT_TOP:  # a tiny model may have fewer than are shown when nobody says how many
        return min(top, total)
    if top > total:
        raise InputError(f"--top {top:,} is more than the {total:,} neurons of {model.info.name}")
    return top


def first_run(model: Model, prompt: Prompt) -> tuple[tuple[int, ...], Trace, dict[str, Any]]:
    """The answer's first token or tokens, the intact run, and what to record of them."""
    (encoded,) = with_answers(model, [prompt])
    answer = encoded.first
    run = trace(model, encoded.ids)
    logprob = _log_prob(model, run, answer)
    baseline = {
        "answer": model.token(answer[0]),
        "answer_id": answer[0],
        "prob": float(torch.tensor(logprob).exp()),
        "logprob": logprob,
    }
    if len(answer) > 1:
        baseline |= {"answers": [model.token(each) for each in answer], "answer_ids": list(answer)}
    return answer, run, baseline


def _log_prob(model: Model, run: Trace, answer: tuple[int, ...]) -> float:
    """The model's own log-probability of a token, or of any of several, its norm not frozen."""
    logits = model.logits(run.final.to(model.hf.dtype))
    return torch.log_softmax(logits.float(), -1)[list(answer)].logsumexp(-1).item()


@dataclass(frozen=True)
class _Candidates:
    """Neurons by how promising they are: flat indices, upper bounds on the ranked value."""

    order: Tensor
    upper: Tensor


def _candidates(model: Model, bounds: PooledBounds, ranges: list[Range], top: int) -> _Candidates:
    """Order all neurons by what they can be at most, looking at the promising ones closely."""
    upper = _most(ranges).flatten()

    def look_closely(flat: Tensor) -> list[Range]:
        closer = bounds.closely(flat // model.info.neurons, flat % model.info.neurons)
        upper[flat] = torch.minimum(upper[flat], _most(closer))
        return closer

    order = upper.argsort(descending=True)
    first, others = order[: _promising(top)], order[_promising(top) :]
    # So much at least has the last of the wanted rows: what cannot reach it needs no closer look.
    wanted = _least(look_closely(first)).topk(top).values[-1]
    look_closely(others[upper[others] > wanted])
    order = upper.argsort(descending=True)
    return _Candidates(order, upper[order])


def _promising(top: int) -> int:
    """How many neurons to look at closely, where `top` are wanted, before any other."""
    return 16 * top + 64


def _least(ranges: list[Range]) -> Tensor:
    """The least that the ranked value can be."""
    return ranges[0][0] if len(ranges) == 1 else ranges[0][0] - ranges[1][1]


def _most(ranges: list[Range]) -> Tensor:
    """The largest that the ranked value can be: importance, or its change between two runs."""
    return ranges[0][1] if len(ranges) == 1 else ranges[0][1] - ranges[1][0]


def ranked_work(
    model: Model,
    compared: Comparison,
    top: int | None,
    baseline: dict[str, Any],
    columns: pl.Schema,
) -> Work:
    """The neurons of largest importance, or of its largest change where two runs are compared.

    Args:
        model: the model.
        compared: what is scored.
        top: how many neurons; None: all.
        baseline: what to record of the runs.
        columns: of the frames.
    """
    total = model.info.layers * model.info.neurons
    if top is not None:
        top = fitting_top(model, top)
    if not compared.bounded or top is None:  # scoring everything needs no bounds
        rank = _rank_all(model, compared)
        estimates = None
    else:
        bounds = compared.bounds(model)
        ranges = bounds.of_all()
        # The upper bound leaves out second-order terms only; the lower one may be far off.
        estimates = _estimate_frame(model, compared, [high for _, high in ranges])
        rank = _rank_certified(model, compared, _candidates(model, bounds, ranges, top))
    count = total if top is None else top

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = count
        for table in rank(top is None):
            table = table.head(left)
            left -= table.height
            table = table.filter(~pl.col("name").is_in(list(done)))
            if table.height:
                yield table.select(*columns).cast(columns)
            if left <= 0:
                return

    promising = 0 if estimates is None else min(2 * _promising(count), total)
    memory = scores_bytes(model, compared.runs, CHUNK.get(model.device.type, 256), promising)
    return Work(count, frames, baseline | {"certified": True}, estimates, memory)


Ranking = Callable[[bool], Iterator[pl.DataFrame]]


def _rank_certified(model: Model, compared: Comparison, candidates: _Candidates) -> Ranking:
    """Rows in final order, each yielded when nothing unscored can come before it."""

    def rank(streaming: bool) -> Iterator[pl.DataFrame]:
        size = CHUNK.get(model.device.type, 256)
        waiting: pl.DataFrame | None = None
        for start in range(0, len(candidates.order), size):
            chosen = candidates.order[start : start + size]
            scored = _score(model, compared, chosen)
            waiting = scored if waiting is None else pl.concat([waiting, scored])
            waiting = _sorted(waiting, compared)
            end = start + size
            limit = candidates.upper[end].item() if end < len(candidates.upper) else float("-inf")
            settled = waiting.filter(pl.col(_ranked(compared)) > limit)
            if settled.height:
                yield settled
                waiting = waiting.slice(settled.height)

    return rank


def _rank_all(model: Model, compared: Comparison) -> Ranking:
    """Score every neuron: streamed layer by layer, or ranked once all are known."""

    def rank(streaming: bool) -> Iterator[pl.DataFrame]:
        total = model.info.layers * model.info.neurons
        size = CHUNK.get(model.device.type, 256)
        tables = []
        for chosen in torch.arange(total, device=model.device).split(size):
            table = _score(model, compared, chosen)
            if streaming:
                yield table
            else:
                tables.append(table)
        if tables:
            yield _sorted(pl.concat(tables), compared)

    return rank


def _sorted(table: pl.DataFrame, compared: Comparison) -> pl.DataFrame:
    """Largest first; equal values in the model's own order."""
    return table.sort([_ranked(compared), "layer", "neuron"], descending=[True, False, False])


def _ranked(compared: Comparison) -> str:
    return "importance" if compared.runs == 1 else "importance_change"


def _score(model: Model, compared: Comparison, flat: Tensor) -> pl.DataFrame:
    """Exact rows of the neurons at these flat indices [c]; in halves where memory is short."""
    try:
        return _score_together(model, compared, flat)
    except torch.OutOfMemoryError:
        if len(flat) == 1:
            raise
        return pl.concat([_score(model, compared, half) for half in flat.tensor_split(2)])


@torch.no_grad()
def _score_together(model: Model, compared: Comparison, flat: Tensor) -> pl.DataFrame:
    """Exact rows of the neurons at these flat indices [c], all at once."""
    checkpoint()
    layers = flat // model.info.neurons
    neurons = flat % model.info.neurons
    values = torch.empty(len(flat), model.info.width, device=flat.device)
    for layer in layers.unique().tolist():
        here = layers == layer
        values[here] = model.values(layer, neurons[here])
    directions = compared.readout.directions(values)  # [c, V]
    scores = compared.exact(directions, layers, neurons)
    coefficients = [each[layers, neurons] for each in compared.coefficients()]
    best = (
        (directions * torch.where(coefficients[0] < 0, -1.0, 1.0)[:, None])
        .topk(TOKENS_SHOWN)
        .indices
    )
    tokens = [[model.token(token) for token in row] for row in best.tolist()]
    return _table(layers, neurons, list(scores), coefficients).with_columns(
        pl.Series("tokens", tokens, dtype=pl.List(pl.String))
    )


def _table(
    layers: Tensor, neurons: Tensor, importance: list[Tensor], coefficients: list[Tensor]
) -> pl.DataFrame:
    """Names and numbers of some neurons as a frame, with contrasts where there are two runs."""
    data = {
        "layer": layers.cpu().numpy(),
        "neuron": neurons.cpu().numpy(),
        "importance": importance[0].double().cpu().numpy(),
        "coefficient": coefficients[0].double().cpu().numpy(),
    }
    table = pl.DataFrame(data).with_columns(pl.format("L{}N{}", "layer", "neuron").alias("name"))
    if len(importance) == 1:
        return table
    return table.with_columns(
        pl.Series("importance_contrast", importance[1].double().cpu().numpy()),
        pl.Series("coefficient_contrast", coefficients[1].double().cpu().numpy()),
    ).with_columns(
        importance_change=pl.col("importance") - pl.col("importance_contrast"),
        coefficient_change=pl.col("coefficient") - pl.col("coefficient_contrast"),
    )


def _estimate_frame(model: Model, compared: Comparison, importance: list[Tensor]) -> pl.DataFrame:
    """Every neuron's estimated scores."""
    total = torch.arange(model.info.layers * model.info.neurons)
    return _table(
        total // model.info.neurons,
        total % model.info.neurons,
        [each.flatten() for each in importance],
        [each.flatten() for each in compared.coefficients()],
    )
