"""CNA over pairs of prompts: the mean change of a neuron's importance.

Many pairs share their prompts and differ in the answer alone, as professions do. The pairs of two
prompts are scored as one comparison whose answer is all of theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.columns import schema
from analysis.methods.comparison import Comparison
from analysis.methods.importance import Scored
from analysis.methods.neurons import ranked_work
from analysis.model.packing import side_by_side
from analysis.model.scoring import log_any
from analysis.model.trace import Trace, trace
from analysis.progress import checkpoint
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.pairs import PairsStep


@torch.no_grad()
def start_pairs(step: PairsStep, model: Model) -> Work:
    """Bind a comparison over pairs to a model."""
    answers: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[int, ...]]] = {}
    for pair in step.pairs:
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
    shares = tuple(len(tokens) / len(step.pairs) for tokens in answers.values())
    gap = sum(share * each for share, each in zip(shares, gaps, strict=True))
    baseline = {"pairs": len(step.pairs), "gap": gap}
    return ranked_work(
        model, Comparison(tuple(groups), shares), step.top, baseline, schema(step.columns)
    )


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
