"""Edges of a pair of prompts: all estimated, the strongest verified, and circuits made of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
from analysis.methods.attribution import (
    Measure,
    edge_scores,
    edges_at,
    memory_of,
    strongest,
)
from analysis.methods.faithfulness import circuits
from analysis.methods.heads import batch_rows
from analysis.methods.patching import LEAST
from analysis.methods.paths import patched_paths
from analysis.model.graph import Edge, Graph, GraphRun, graph_of, graph_run
from analysis.model.pairs import encode_pairs
from analysis.model.passes import Targets
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell
from analysis.tasks.metrics import Metric, metric_of
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded
    from analysis.tasks.prompts import PromptSet

SHARES_AT_ONCE = 4
"""Points of a curve that are computed together."""
CIRCUIT_BYTES = 2**29
"""What the sources' writes of the circuits that run together take."""


@dataclass(frozen=True)
class _Pair:
    """One case that is looked at."""

    number: int
    """Its place in the set."""
    clean: Encoded
    corrupt: Encoded
    measure: Measure
    of_clean: float
    """The metric of the clean run."""
    of_corrupt: float

    def runs(self, model: Model) -> tuple[GraphRun, GraphRun]:
        """Both runs. They are short and long to keep, so they are made anew where needed."""
        return graph_run(model, self.clean.ids), graph_run(model, self.corrupt.ids)


@dataclass(frozen=True)
class Attribution:
    """Every edge's score over some pairs, and the pairs."""

    graph: Graph
    pairs: list[_Pair]
    scores: Tensor
    """[inputs, U] means over the pairs."""
    metric: Metric
    memory: int
    left_out: list[str]
    """Cases whose metric is the same in both runs."""

    @property
    def apart(self) -> float:
        """The metric of the clean runs less that of the corrupt ones, summed."""
        return sum(pair.of_clean - pair.of_corrupt for pair in self.pairs)

    def ranked(self, signed: bool) -> list[int]:
        """Places of all edges in the flat scores, the strongest first."""
        useful = -1.0 if self.apart > 0 else 1.0
        return strongest(self.scores, self.graph, signed, useful).tolist()

    @property
    def baseline(self) -> dict[str, Any]:
        """What the rows are compared with."""
        count = len(self.pairs)
        return {
            "metric": self.metric,
            "clean": sum(pair.of_clean for pair in self.pairs) / count,
            "corrupt": sum(pair.of_corrupt for pair in self.pairs) / count,
            "edges": int(self.graph.exists.sum()),
            "cases": count,
            "left_out": self.left_out,
            "case_numbers": [pair.number for pair in self.pairs],
            "case_clean": [pair.of_clean for pair in self.pairs],
            "case_corrupt": [pair.of_corrupt for pair in self.pairs],
        }


def attribute(
    model: Model, prompts: PromptSet, steps: int, metric: Metric | None = None
) -> Attribution:
    """Estimate every edge over all cases; the metric's changes are summed before they are divided.

    Args:
        model: the model.
        prompts: cases with a corrupt prompt.
        steps: gradients of each case.
        metric: what runs are measured by; None: as fits the cases.

    Raises:
        InputError: a case has no corrupt prompt that fits, or in none do the runs differ.
    """
    metric = metric_of(prompts, metric)
    encoded = encode_pairs(model, prompts)
    pairs: list[_Pair] = []
    left_out: list[str] = []
    total: Tensor | None = None
    graph: Graph | None = None
    for number, (clean, corrupt) in enumerate(encoded):
        checkpoint()
        tell(0, f"estimating edges, case {number + 1} of {len(encoded)}")
        runs = graph_run(model, clean.ids), graph_run(model, corrupt.ids)
        graph = graph or graph_of(model, runs[0])
        measure = measure_of(model, clean, metric)
        values = [measure(model.logits(run.final[-1])).item() for run in runs]
        if abs(values[0] - values[1]) < LEAST:
            left_out.append(
                f"case {number + 1} of {prompts.name}: the metric differs by "
                f"{abs(values[0] - values[1]):.3g}"
            )
            continue
        pairs.append(_Pair(number, clean, corrupt, measure, *values))
        scores = edge_scores(model, graph, *runs, measure, steps)
        total = scores if total is None else total + scores
    if graph is None or total is None:
        raise InputError(
            f"{left_out[0]} between its two prompts, so there is no difference to trace; it takes "
            f"{LEAST} or more in some case"
        )
    longest = max(len(pair.clean.ids) for pair in pairs)
    memory = memory_of(graph, model, longest)
    return Attribution(graph, pairs, total / len(pairs), metric, memory, left_out)


def edges_work(
    model: Model,
    prompts: PromptSet,
    steps: int = 1,
    verify: int = 50,
    keep: int = 1_000,
    signed: bool = False,
    metric: Metric | None = None,
) -> Work:
    """Estimate all edges, keep the strongest, and verify the strongest of these exactly.

    Args:
        model: the model.
        prompts: cases with a corrupt prompt.
        steps: gradients of each case: 1 for EAP, more for EAP-IG.
        verify: how many to patch alone.
        keep: how many rows there are, if there are as many edges.
        signed: rank by what an edge carries of the difference, else by size.
        metric: what runs are measured by; None: as fits the cases.
    """
    found = attribute(model, prompts, steps, metric)
    places = found.ranked(signed)[: max(keep, verify)]
    values = found.scores.flatten()[places].tolist()
    edges = edges_at(places, found.graph)
    rows = [
        _row(found.graph, edge, score, rank)
        for rank, (edge, score) in enumerate(zip(edges, values, strict=True), start=1)
    ]

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [place for place in range(len(rows)) if rows[place]["name"] not in done]
        exactly = [place for place in left if place < verify]
        for batch, changes in _verified(model, found, edges, exactly):
            yield frame_of(
                rows[place] | {"verified": sum(each) / len(each), "case_verified": each}
                for place, each in zip(batch, changes, strict=True)
            )
        if others := [rows[place] for place in left if place >= verify]:
            yield frame_of(others)

    estimates = frame_of(row | {"verified": row["score"]} for row in rows)
    return Work(len(rows), frames, found.baseline, estimates, found.memory)


def _row(graph: Graph, edge: Edge, score: float, rank: int) -> dict[str, Any]:
    source, (target, kind) = graph.source_name(edge[0]), graph.input_name(edge[1])
    to = f"{target}.{kind}" if kind in ("q", "k", "v") else target
    return {
        "name": f"{source}→{to}",
        "source": source,
        "target": target,
        "input": kind,
        "score": score,
        "verified": None,
        "rank": rank,
    }


def _verified(
    model: Model, found: Attribution, edges: Sequence[Edge], places: Sequence[int]
) -> Iterator[tuple[list[int], list[list[float]]]]:
    """Batches of places, and what corrupting each edge alone changes in each case."""
    rows = batch_rows(model, max(len(pair.clean.ids) for pair in found.pairs))
    waiting = list(places)
    while waiting:
        batch = waiting[:rows]
        try:
            changes = []
            for pair in found.pairs:
                runs = pair.runs(model)
                chosen = [edges[place] for place in batch]
                values = patched_paths(model, found.graph, *runs, chosen, pair.measure)
                changes.append(values.double() - pair.of_clean)
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows = max(1, rows // 2)
            continue
        yield batch, torch.stack(changes, 1).tolist()
        waiting = waiting[len(batch) :]


def faithfulness_work(
    model: Model,
    prompts: PromptSet,
    shares: Sequence[float],
    steps: int = 1,
    signed: bool = False,
    draws: int = 1,
    seed: int = 0,
    metric: Metric | None = None,
) -> Work:
    """Keep a share of the edges, the strongest first, and as many random ones beside them.

    Args:
        model: the model.
        prompts: cases with a corrupt prompt.
        shares: of all edges, each 0 to 1.
        steps: gradients of each case: 1 for EAP, more for EAP-IG.
        signed: rank by what an edge carries of the difference, else by size.
        draws: how many random sets of each size.
        seed: of these.
        metric: what runs are measured by; None: as fits the cases.
    """
    found = attribute(model, prompts, steps, metric)
    graph, strong = found.graph, found.ranked(signed)
    orders = [strong]
    for draw in range(draws):
        order = sorted(strong)
        Random(f"{seed} edges {draw}").shuffle(order)
        orders.append(order)
    size = graph.sources * model.info.width * FLOAT32
    longest = max(len(pair.clean.ids) for pair in found.pairs)
    together = max(1, CIRCUIT_BYTES // (size * longest))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [share for share in shares if _share_name(share) not in done]
        for first in range(0, len(left), SHARES_AT_ONCE):
            some = left[first : first + SHARES_AT_ONCE]
            kept = torch.zeros(len(some), len(orders), graph.exists.numel(), dtype=torch.bool)
            for share, circuit in zip(some, kept, strict=True):
                for order, edges in zip(orders, circuit, strict=True):
                    edges[order[: round(share * len(strong))]] = True
            shape = (-1, *graph.exists.shape)
            gained = _gained(model, found, kept.view(shape), together)
            by_share = gained.unflatten(1, (len(some), -1)).unbind(1)
            yield frame_of(
                _faithful(found, share, each) for share, each in zip(some, by_share, strict=True)
            )

    most = min(together, SHARES_AT_ONCE * len(orders))
    return Work(
        len(shares), frames, found.baseline, memory=found.memory + 2 * most * size * longest
    )


def _share_name(share: float) -> str:
    return f"{100 * share:g}%"


def _faithful(found: Attribution, share: float, gained: Tensor) -> dict[str, Any]:
    """A row of what the strongest edges and each draw [cases, 1 + draws] bring back."""
    whole = gained.sum(0) / found.apart
    of_cases = torch.tensor([pair.of_clean - pair.of_corrupt for pair in found.pairs])
    return {
        "name": _share_name(share),
        "share": share,
        "edges": round(share * int(found.graph.exists.sum())),
        "faithfulness": whole[0].item(),
        "random": whole[1:].mean().item() if len(whole) > 1 else None,
        "random_draws": whole[1:].tolist(),
        "case_faithfulness": (gained[:, 0] / of_cases).tolist(),
    }


def _gained(model: Model, found: Attribution, kept: Tensor, together: int) -> Tensor:
    """[cases, C] how far above the corrupt run's each circuit's metric is in each case."""
    gained = []
    for pair in found.pairs:
        runs = pair.runs(model)
        values = [
            circuits(model, found.graph, *runs, some, pair.measure) for some in kept.split(together)
        ]
        gained.append(torch.cat(values).double() - pair.of_corrupt)
    return torch.stack(gained)


def measure_of(model: Model, encoded: Encoded, metric: Metric) -> Measure:
    """A metric of a case at its prompt's last position; of a longer answer its first token counts.

    Args:
        model: the model.
        encoded: the case.
        metric: which, one that gradients pass through.
    """
    first = replace(encoded, answer_ids=encoded.answer_ids[:1])
    targets = Targets.of([first], model.device)
    return lambda logits: targets.measure(metric, logits.reshape(-1, 1, logits.shape[-1]))
