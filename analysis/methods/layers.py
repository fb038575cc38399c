"""Reading every layer of a run through the frozen final norm."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from analysis.methods.neurons import first_run
from analysis.model.readout import Readout
from analysis.progress import checkpoint
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt

POSITIONS = 256
"""Positions read at once; each takes a few vectors as long as the vocabulary."""


@torch.no_grad()
def gains_work(model: Model, prompt: Prompt) -> Work:
    """What the attention and the FFN of each layer add to the answer; one row a layer.

    The attention's gain is that of adding A to the stream entering the layer, the FFN's that of
    adding F to the stream without it, so a neuron's importance is its share of the FFN's gain.
    """
    token, run, baseline = first_run(model, prompt)
    readout = run.freeze(model)

    def log_prob(residuals: Tensor) -> Tensor:
        return readout.log_prob(readout.logits(residuals), token).double().cpu()

    entering, leaving = log_prob(run.entering), log_prob(run.leaving)
    attention = log_prob(run.entering + run.attention) - entering
    ffn = leaving - log_prob(run.leaving - run.ffn)
    layers = range(model.info.layers)
    table = pl.DataFrame(
        {
            "name": [f"L{layer}" for layer in layers],
            "layer": list(layers),
            "attention": attention.tolist(),
            "ffn": ffn.tolist(),
            "logprob": leaving.tolist(),
        }
    )
    totals = {"attention": attention.sum().item(), "ffn": ffn.sum().item()}
    return Work(len(layers), lambda done: _unless(done, table), baseline | totals)


def _unless(done: Collection[str], table: pl.DataFrame) -> Iterator[pl.DataFrame]:
    rest = table.filter(~pl.col("name").is_in(list(done)))
    if rest.height:
        yield rest


@torch.no_grad()
def lens_work(model: Model, prompt: Prompt) -> Work:
    """What each layer would say at each position; a frame a layer, a row a position."""
    token, run, baseline = first_run(model, prompt)
    readout = run.freeze(model)
    ids = model.encode(prompt).ids
    calls, final = model.run(torch.tensor([ids], device=model.device))
    leaving = [call.entering for call in calls[1:]] + [final]
    reads = [model.token(each) for each in ids]

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for layer, residual in enumerate(leaving):
            checkpoint()
            read = [_read(readout, some, token) for some in residual[0].split(POSITIONS)]
            best, prob, answer, rank = (torch.cat(each) for each in zip(*read, strict=True))
            table = pl.DataFrame(
                {
                    "name": [f"L{layer}@{place}" for place in range(len(ids))],
                    "layer": [layer] * len(ids),
                    "position": list(range(len(ids))),
                    "reads": reads,
                    "token": [model.token(each) for each in best.tolist()],
                    "prob": prob.tolist(),
                    "answer_prob": answer.tolist(),
                    "answer_rank": rank.tolist(),
                }
            )
            yield from _unless(done, table)

    return Work(len(leaving) * len(ids), frames, baseline)


def _read(readout: Readout, residual: Tensor, token: Sequence[int]) -> tuple[Tensor, ...]:
    """What positions [n, d] would say: top token, its probability, the answer's, its rank [n]."""
    logits = readout.cap(readout.logits(residual.to(readout.embedding.device)))  # [n, V]
    best = logits.max(-1)
    total = torch.logsumexp(logits, -1)
    answers = logits[:, list(token)]
    answer = answers.logsumexp(-1)
    rank = (logits > answers.amax(-1, keepdim=True)).sum(-1) + 1
    prob, answer_prob = ((each - total).exp().double().cpu() for each in (best.values, answer))
    return best.indices.cpu(), prob, answer_prob, rank.cpu()
