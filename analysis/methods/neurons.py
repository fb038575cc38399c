"""Ranking neurons by importance (one run) or by its change (two runs): certified top k.

Bounds tell which neurons can be among the k largest; only those are scored exactly, most
promising first, and a row is yielded once no other neuron can come before it. The rows are those
that scoring every neuron would give, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.methods.importance import AT_ONCE, CLOSELY, FAVOURED, Bounds, Range, Scored, exact
from analysis.model.adapters import wearing
from analysis.model.packing import side_by_side
from analysis.model.passes import log_any, with_answers
from analysis.model.readout import Readout
from analysis.model.trace import Trace, trace
from analysis.model.weights import CHUNK as READ_AT_ONCE
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell
from analysis.refs import NeuronRef
from analysis.tasks.prompts import Prompt
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.pairs import PromptPair

DEFAULT_TOP = 100
TOKENS_SHOWN = 10
CHUNK = {"cpu": 64, "cuda": 1_024}
"""Neurons scored exactly at once; each needs a few vectors as long as the vocabulary."""


@dataclass(frozen=True)
class Comparison:
    """Importance in runs, and its mean over groups of them."""

    groups: tuple[tuple[Scored, ...], ...]
    """Runs that share a readout, equally many in each group."""
    shares: tuple[float, ...]
    """Of each group in the mean; they sum to 1."""

    @classmethod
    def of(cls, *runs: Scored) -> Comparison:
        """One group."""
        return cls((runs,), (1.0,))

    @property
    def runs(self) -> int:
        """How many runs a group has: R."""
        return len(self.groups[0])

    @property
    def bounded(self) -> bool:
        """Whether there are bounds: not under a soft cap, nor on the sum of several tokens."""
        several = any(each.tokens.shape[1] > 1 for group in self.groups for each in group)
        return self.readout.softcap is None and not several

    @property
    def readout(self) -> Readout:
        """That of the first group; the others differ in the frozen statistics alone."""
        return self.groups[0][0].readout

    def exact(self, directions: Tensor, layers: Tensor, neurons: Tensor) -> Tensor:
        """Importance [R, c] of neurons in each run, the mean over the groups; see `exact`.

        Args:
            directions: [c, V] what each neuron's value adds to the logits, in the first readout.
            layers: [c] the neurons' layers.
            neurons: [c] their indices.
        """
        found = []
        for group in self.groups:
            ratio = group[0].readout.scale / self.readout.scale
            own = directions if group is self.groups[0] else directions * ratio
            found.append(exact(group, own, layers, neurons))
        return self._mean(found)

    def coefficients(self) -> list[Tensor]:
        """[L, N] for each run, the mean over the groups."""
        places = range(self.runs)
        return [
            self._mean([group[place].run.coefficients for group in self.groups]) for place in places
        ]

    def bounds(self, model: Model) -> PooledBounds:
        """Bounds on the same means."""
        return PooledBounds([Bounds(model, group) for group in self.groups], self._mean)

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        if len(values) == 1:
            return values[0]
        pairs = zip(values, self.shares, strict=True)
        return torch.stack([share * value for value, share in pairs]).sum(0)


@dataclass(frozen=True)
class PooledBounds:
    """Bounds on means: the means of bounds."""

    each: list[Bounds]
    mean: Callable[[Sequence[Tensor]], Tensor]

    def of_all(self) -> list[Range]:
        """Bounds [L, N] on every neuron, for each run."""
        return self._pooled([bounds.of_all() for bounds in self.each])

    def closely(self, layers: Tensor, neurons: Tensor) -> list[Range]:
        """Closer bounds [c] on some neurons, for each run; see `Bounds.closely`."""
        return self._pooled([bounds.closely(layers, neurons) for bounds in self.each])

    def _pooled(self, groups: list[list[Range]]) -> list[Range]:
        return [
            (self.mean([low for low, _ in run]), self.mean([high for _, high in run]))
            for run in zip(*groups, strict=True)
        ]


@torch.no_grad()
def importance_work(model: Model, prompt: Prompt, top: int | None = DEFAULT_TOP) -> Work:
    """Rank neurons by the log-probability that each adds to the answer; one row a neuron.

    Args:
        model: the model.
        prompt: the case.
        top: how many of the most important; None: all, in the model's own order.
    """
    answer, run, baseline = first_run(model, prompt)
    scored = Scored.prepare(run, run.freeze(model), answer)
    return ranked_work(model, Comparison.of(scored), top, baseline)


@torch.no_grad()
def cna_work(
    model: Model,
    prompt: Prompt,
    ablate: Sequence[Intervention] = (),
    against: Prompt | None = None,
    adapter: Path | None = None,
    top: int | None = DEFAULT_TOP,
    kept: Directions | None = None,
) -> Work:
    """Rank neurons by how much more each adds to the answer than in a contrasting run.

    Args:
        model: the model.
        prompt: the case.
        ablate: what the contrasting run has changed.
        against: the contrasting run's prompt; None: the same.
        adapter: folder of an adapter that the first run wears and the contrasting one does not.
        top: how many of the largest changes; None: all neurons.
        kept: what neurons of the model add to the logits, shared by several of these.
    """
    for each in ablate:
        model.info.check_parts(each)
    adapter = None if adapter is None else adapter.expanduser()
    with nullcontext(True) if adapter is None else wearing(model, adapter) as same_values:
        answer, run, baseline = first_run(model, prompt)
        scored = Scored.prepare(run, run.freeze(model), answer)
    readout = run.freeze(model)
    other = prompt if against is None else against
    contrast = trace(model, model.encode(other).ids, ablate)
    logprob = _log_prob(model, contrast, answer)
    baseline["prob_contrast"] = float(torch.tensor(logprob).exp())
    baseline["logprob_contrast"] = logprob
    other_scored = Scored.prepare(contrast, readout, answer)
    if adapter is not None and not same_values:
        return _apart_work(model, top, adapter, (scored, other_scored), baseline)
    return ranked_work(model, Comparison.of(scored, other_scored), top, baseline, kept)


@torch.no_grad()
def cna_of(
    model: Model,
    prompt: Prompt,
    ablate: Sequence[Intervention],
    neurons: Sequence[NeuronRef],
    kept: Directions | None = None,
) -> tuple[pl.DataFrame, dict[str, Any]]:
    """CNA of some neurons: their exact rows, as of `cna_work`, and what to record of the runs.

    Args:
        model: the model.
        prompt: the case.
        ablate: what the contrasting run has changed.
        neurons: which.
        kept: what neurons of the model add to the logits, shared by several of these.
    """
    answer, run, baseline = first_run(model, prompt)
    contrast = trace(model, model.encode(prompt).ids, ablate)
    readout = run.freeze(model)
    compared = Comparison.of(*(Scored.prepare(each, readout, answer) for each in (run, contrast)))
    places = [ref.layer * model.info.neurons + ref.index for ref in neurons]
    flat = torch.tensor(places, dtype=torch.long, device=model.device)
    size = CHUNK.get(model.device.type, 256)
    table = pl.concat([_score(model, compared, some, kept) for some in flat.split(size)])
    return table, baseline | {"logprob_contrast": _log_prob(model, contrast, answer)}


def _apart_work(
    model: Model,
    top: int | None,
    adapter: Path,
    runs: tuple[Scored, Scored],
    baseline: dict[str, Any],
) -> Work:
    """CNA of an adapter that changes neurons' own vectors, or how they are read.

    The two runs then share neither values nor a readout, so the bounds that let most neurons be
    left out do not hold for their difference: every neuron is scored in each of the two models.

    Args:
        model: the model below.
        top: how many of the largest changes; None: all neurons.
        adapter: folder of the adapter.
        runs: of the model that wears it, and of the model below. Each reads with its own weights;
            the frozen statistics are the first one's.
        baseline: what to record of the runs.
    """
    scored = [ranked_work(model, Comparison.of(run), None, {}) for run in runs]
    total = model.info.layers * model.info.neurons
    count = total if top is None else fitting_top(model, top)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        with wearing(model, adapter):
            worn = pl.concat(list(scored[0].frames(())))
        below = pl.concat(list(scored[1].frames(()))).select(
            "name", importance_contrast="importance", coefficient_contrast="coefficient"
        )
        table = worn.join(below, on="name", maintain_order="left").with_columns(*_CHANGES)
        table = table.sort(
            "importance_change", descending=True, maintain_order=True, nulls_last=True
        )
        yield table.head(count).filter(~pl.col("name").is_in(list(done)))

    return replace(
        scored[0], expected=count, frames=frames, baseline=baseline | {"certified": True}
    )


@torch.no_grad()
def pairs_work(model: Model, pairs: Sequence[PromptPair], top: int | None = DEFAULT_TOP) -> Work:
    """CNA over pairs of prompts: rank neurons by the mean change of their importance.

    Many pairs share their prompts and differ in the answer alone, as professions do. The pairs of
    two prompts are scored as one comparison whose answer is all of theirs.

    Args:
        model: the model.
        pairs: the pairs; answer and frozen norm are those of each pair's first prompt.
        top: how many of the largest changes; None: all neurons.
    """
    answers: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[int, ...]]] = {}
    for pair in pairs:
        first, second = model.encode(pair.first), model.encode(pair.second)
        answers.setdefault((first.ids, second.ids), []).append(first.first)
    runs = {ids: trace(model, ids) for prompts in answers for ids in prompts}
    groups, gaps = [], []
    for prompts, tokens in answers.items():
        checkpoint()
        pair_of_runs = [runs[ids] for ids in prompts]
        readout = pair_of_runs[0].freeze(model)
        groups.append(tuple(Scored.prepare(each, readout, *tokens) for each in pair_of_runs))
        gaps.append(_gap(model, pair_of_runs, tokens))
    shares = tuple(len(tokens) / len(pairs) for tokens in answers.values())
    gap = sum(share * each for share, each in zip(shares, gaps, strict=True))
    baseline = {"pairs": len(pairs), "gap": gap}
    return ranked_work(model, Comparison(tuple(groups), shares), top, baseline)


def _gap(model: Model, runs: list[Trace], tokens: list[tuple[int, ...]]) -> float:
    """By how much answers are likelier in the first run: first tokens, each norm its own."""
    wanted = side_by_side(tokens)
    first, second = (
        log_any(_log_probs(model, run).expand(len(wanted), -1), wanted.to(run.final.device))
        for run in runs
    )
    return (first - second).double().mean().item()


def _log_probs(model: Model, run: Trace) -> Tensor:
    return torch.log_softmax(model.logits(run.final.to(model.hf.dtype)), -1)


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
        Rows as of `cna_work`, largest change first.

    Raises:
        InputError: the model has fewer neurons.
    """
    readout = run.freeze(model)
    both = Comparison.of(*(Scored.prepare(each, readout, answer) for each in (run, contrast)))
    work = ranked_work(model, both, top, {})
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
    kept: Directions | None = None,
) -> Work:
    """The neurons of largest importance, or of its largest change where two runs are compared.

    Args:
        model: the model.
        compared: what is scored.
        top: how many neurons; None: all.
        baseline: what to record of the runs.
        kept: what neurons of the model add to the logits, shared with others.
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
        rank = _rank_certified(model, compared, _candidates(model, bounds, ranges, top), kept)
    count = total if top is None else top

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = count
        for table in rank(top is None):
            table = table.head(left)
            left -= table.height
            table = table.filter(~pl.col("name").is_in(list(done)))
            if table.height:
                yield table
            if left <= 0:
                return

    promising = 0 if estimates is None else min(2 * _promising(count), total)
    memory = _peak_bytes(model, compared.runs, CHUNK.get(model.device.type, 256), promising)
    return Work(count, frames, baseline | {"certified": True}, estimates, memory)


def _peak_bytes(model: Model, runs: int, chunk: int, promising: int) -> int:
    """Roughly the most memory that scoring neurons takes: the largest tensors alive together.

    Args:
        model: the model.
        runs: in how many runs.
        chunk: neurons scored exactly at once.
        promising: neurons whose bounds are looked at closely.
    """
    info = model.info
    base = 3 * runs * info.layers * info.vocabulary * FLOAT32
    # Every neuron of a layer with few tokens; twice its share of the promising ones with many.
    close = min(2 * promising // info.layers, info.neurons, AT_ONCE)
    bounds = 4 * max(info.neurons * FAVOURED, close * min(CLOSELY, info.vocabulary)) * FLOAT32
    directions = 4 * chunk * info.vocabulary * FLOAT32
    copied = 0 if model.hf.dtype.itemsize == FLOAT32 else info.vocabulary * info.width * FLOAT32
    # A layer's values, where packed weights must be asked for them.
    asked = 0 if info.weights is None else info.neurons * (info.width + READ_AT_ONCE) * FLOAT32
    return base + max(bounds, directions) + copied + asked


Ranking = Callable[[bool], Iterator[pl.DataFrame]]


def _rank_certified(
    model: Model, compared: Comparison, candidates: _Candidates, kept: Directions | None
) -> Ranking:
    """Rows in final order, each yielded when nothing unscored can come before it."""

    def rank(streaming: bool) -> Iterator[pl.DataFrame]:
        size = CHUNK.get(model.device.type, 256)
        waiting: pl.DataFrame | None = None
        for start in range(0, len(candidates.order), size):
            chosen = candidates.order[start : start + size]
            tell(None, f"exact scores of the most promising, {start:,} so far")
            scored = _score(model, compared, chosen, kept)
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
            done = int(chosen[0])
            tell(None, f"exact scores, {done:,} of {total:,} neurons")
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


def in_halves(compute: Callable[[Tensor], pl.DataFrame], indices: Tensor) -> pl.DataFrame:
    """A frame computed for some indices [c] at once, or in halves where memory is short."""
    try:
        return compute(indices)
    except torch.OutOfMemoryError:
        if len(indices) == 1:
            raise
        return pl.concat([in_halves(compute, half) for half in indices.tensor_split(2)])


class Directions:
    """What neurons' values add to the logits at a spread of 1, kept while there is room.

    It depends on the model alone, so runs that are compared one after the other share it.

    Args:
        model: the model.
        room: bytes to keep.
    """

    def __init__(self, model: Model, room: int = 2**29) -> None:
        self._model = model
        self._left = room // (model.info.vocabulary * FLOAT32)
        self._rows: dict[int, Tensor] = {}

    def of(self, readout: Readout, flat: Tensor) -> Tensor:
        """[c, V] of the neurons at flat indices [c], in a readout."""
        one = replace(readout, scale=torch.ones_like(readout.scale))
        new = [place for place, index in enumerate(flat.tolist()) if index not in self._rows]
        found = one.directions(_values(self._model, flat[new]))
        rows = dict(zip(flat[new].tolist(), found, strict=True))
        keep = dict(list(rows.items())[: self._left])
        self._left -= len(keep)
        self._rows |= {index: row.clone() for index, row in keep.items()}
        both = self._rows | rows
        return torch.stack([both[index] for index in flat.tolist()]) * readout.scale


def _values(model: Model, flat: Tensor) -> Tensor:
    """[c, d] values of the neurons at these flat indices [c]."""
    layers, neurons = flat // model.info.neurons, flat % model.info.neurons
    values = torch.empty(len(flat), model.info.width, device=flat.device)
    for layer in layers.unique().tolist():
        here = layers == layer
        values[here] = model.values(layer, neurons[here])
    return values


def _score(
    model: Model, compared: Comparison, flat: Tensor, kept: Directions | None = None
) -> pl.DataFrame:
    """Exact rows of the neurons at these flat indices [c]."""
    return in_halves(partial(_score_together, model, compared, kept), flat)


@torch.no_grad()
def _score_together(
    model: Model, compared: Comparison, kept: Directions | None, flat: Tensor
) -> pl.DataFrame:
    """Exact rows of the neurons at these flat indices [c], all at once."""
    checkpoint()
    layers = flat // model.info.neurons
    neurons = flat % model.info.neurons
    readout = compared.readout
    if kept is None:
        directions = readout.directions(_values(model, flat))  # [c, V]
    else:
        directions = kept.of(readout, flat)
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


_CHANGES = [
    (pl.col(each) - pl.col(f"{each}_contrast")).alias(f"{each}_change")
    for each in ("importance", "coefficient")
]


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
    ).with_columns(*_CHANGES)


def _estimate_frame(model: Model, compared: Comparison, importance: list[Tensor]) -> pl.DataFrame:
    """Every neuron's estimated scores."""
    total = torch.arange(model.info.layers * model.info.neurons)
    return _table(
        total // model.info.neurons,
        total % model.info.neurons,
        [each.flatten() for each in importance],
        [each.flatten() for each in compared.coefficients()],
    )
