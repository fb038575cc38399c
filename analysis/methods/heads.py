"""The head sweep: every head ablated in turn, packed and resumed, exact (see docs/method.md).

Two facts make it fast. Prompts that begin alike share tokens (`analysis.model.packing`). And
ablating a head in layer l changes nothing below l, so a run starts from the clean residual stream
entering layer l. Heads of several layers travel as rows of one batch: a row joins at its head's
layer. A model whose prompts cannot share a sequence exactly gets a sequence for each; the rest is
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import torch
from torch import Tensor

from analysis.columns import schema
from analysis.methods.forecast import sweep_bytes
from analysis.methods.plain import head_means
from analysis.model.forward import LayerCall, before
from analysis.model.packing import Pack
from analysis.model.scoring import Scores, score_pack, score_tokens, with_answers
from analysis.model.tokens import Encoded
from analysis.progress import checkpoint
from analysis.refs import HeadRef
from analysis.step import Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.steps.heads import HeadsStep

BATCH_TOKENS = {"cpu": 1_200, "cuda": 65_536}
"""Tokens in flight at once: enough to keep the device busy, few enough to stream results."""


@dataclass(frozen=True)
class CleanPass:
    """The intact model on one pack."""

    packed: Pack
    calls: list[LayerCall]
    final: Tensor
    """[1, n, d] leaving the last layer."""


@torch.no_grad()
def start_sweep(step: HeadsStep, model: Model) -> Work:
    """Bind a head sweep to a model: intact scores and first-order estimates."""
    refs = list(step.heads) if step.heads is not None else all_heads(model)
    for ref in refs:
        model.check_head(ref)
    encoded = with_answers(model, step.prompts.prompts)
    means = head_means(model, encoded) if step.mode == "mean" else None
    columns = schema(step.columns)
    passes = clean_passes(model, encoded)
    intact = join([score_pack(model, each.packed, each.final) for each in passes])
    estimates = head_estimates(model, passes, means)
    # The sign of a first-order estimate is often wrong, its size seldom: the largest go first.
    order = sorted(refs, key=lambda ref: -abs(estimates[ref.layer][ref.index].item()))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [ref for ref in order if str(ref) not in done]
        for batch, scores in sweep(model, passes, left, means):
            yield frame(batch, scores, columns)

    baseline = intact.summary(0)
    nodes = max(len(each.packed.tokens) for each in passes)
    scored = max(len(each.packed.scored) for each in passes)
    rows = min(len(refs), batch_rows(model, nodes))
    memory = sweep_bytes(model, len(passes), nodes, scored, rows)
    shown = _estimate_frame(refs, estimates, baseline["logprob"])
    return Work(len(refs), frames, baseline, shown, memory)


def batch_rows(model: Model, nodes: int) -> int:
    """How many heads travel in one batch over packs of so many tokens."""
    return max(1, BATCH_TOKENS.get(model.device.type, 4_096) // nodes)


def all_heads(model: Model) -> list[HeadRef]:
    """Every head of the model, layer by layer."""
    info = model.info
    return [HeadRef(layer, head) for layer in range(info.layers) for head in range(info.heads)]


def clean_passes(model: Model, encoded: Sequence[Encoded]) -> list[CleanPass]:
    """Run the intact model on all prompts, pack by pack."""
    passes = []
    for packed in model.packs(encoded):
        checkpoint()
        calls, final = model.run_packed(packed)
        passes.append(CleanPass(packed, calls, final))
    return passes


def join(parts: Sequence[Scores]) -> Scores:
    """Scores of consecutive packs as one."""
    return Scores(
        torch.cat([part.logprob for part in parts], -1),
        torch.cat([part.correct for part in parts], -1),
    )


@torch.no_grad()
def scored(model: Model, encoded: Sequence[Encoded]) -> Scores:
    """Scores [1, P] of the model as it is now; nothing of the runs is kept."""
    scores = []
    for packed in model.packs(encoded):
        checkpoint()
        scores.append(score_pack(model, packed, model.run_packed(packed)[1]))
    return join(scores)


@torch.no_grad()
def sweep(
    model: Model,
    passes: Sequence[CleanPass],
    refs: Sequence[HeadRef],
    means: dict[int, Tensor] | None = None,
) -> Iterator[tuple[list[HeadRef], Scores]]:
    """Scores with each head ablated, in batches that keep the order of `refs`.

    A batch that does not fit in memory is halved and tried again.
    """
    nodes = max(len(each.packed.tokens) for each in passes)
    rows = batch_rows(model, nodes)
    waiting = list(refs)
    while waiting:
        batch = waiting[:rows]
        try:
            with torch.no_grad():  # a generator must not leave it on in its caller
                scores = join([_ablated(model, each, batch, means) for each in passes])
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows = max(1, rows // 2)
            continue
        yield batch, scores
        waiting = waiting[len(batch) :]


def _ablated(
    model: Model, clean: CleanPass, batch: Sequence[HeadRef], means: dict[int, Tensor] | None
) -> Scores:
    """Scores [B, P] over one pack, row b without head b."""
    by_layer = sorted(range(len(batch)), key=lambda row: batch[row])
    layers = [batch[row].layer for row in by_layer]
    x: Tensor | None = None
    joined = 0
    for number in range(layers[0], len(clean.calls)):
        checkpoint()
        call = clean.calls[number]
        joining = layers.count(number)
        if joining:
            fresh = call.entering.expand(joining, -1, -1)
            x = fresh if x is None else torch.cat([x.to(fresh.device), fresh])
        assert x is not None
        with ExitStack() as stack:
            if joining:
                heads = [batch[row].index for row in by_layer[joined : joined + joining]]
                mean = None if means is None else means[number]
                hook = _ablate_rows(model, joined, heads, mean)
                stack.enter_context(before(model.parts.layers[number].attention_out, hook))
            x = call.again(x)
        joined += joining
    assert x is not None
    scores = score_pack(model, clean.packed, x.to(clean.final.device))
    back = torch.argsort(torch.tensor(by_layer))
    return Scores(scores.logprob[back], scores.correct[back])


def _ablate_rows(
    model: Model, start: int, heads: Sequence[int], mean: Tensor | None
) -> Callable[[Tensor], Tensor]:
    def change(x: Tensor) -> Tensor:
        x = x.clone()
        for row, head in enumerate(heads, start=start):
            where = model.parts.head_slice(head)
            x[row, :, where] = 0 if mean is None else mean[where].to(x)
        return x

    return change


def head_estimates(
    model: Model, passes: Sequence[CleanPass], means: dict[int, Tensor] | None = None
) -> Tensor:
    """First-order change of the mean answer log-probability when each head is ablated.

    One backward pass over each pack: the gradient at each head's output times what ablation
    would add to it.

    Returns:
        [L, H] float32 on the CPU, in nats.
    """
    parts = model.parts
    total = torch.zeros(len(parts.layers), parts.heads)
    prompts = sum(len(each.packed.prompts) for each in passes)
    for clean in passes:
        outputs: list[Tensor] = []

        def keep(x: Tensor, outputs: list[Tensor] = outputs) -> None:
            x.retain_grad()
            outputs.append(x)

        with torch.enable_grad(), ExitStack() as stack:
            for layer in parts.layers:
                stack.enter_context(before(layer.attention_out, keep))
            x = clean.calls[0].entering.detach().clone().requires_grad_()
            for call in clean.calls:
                checkpoint()
                x = call.again(x.to(call.entering.device))
            logits = model.logits(x[:, clean.packed.scored])
            logprob, _ = score_tokens(logits, clean.packed.targets)
            logprob.sum().backward()
        for number, output in enumerate(outputs):
            assert output.grad is not None
            away = -output.detach() if means is None else means[number].to(output) - output.detach()
            share = (output.grad * away)[0].float().sum(0)
            total[number] += share.view(parts.heads, -1).sum(-1).cpu() / prompts
    return total


def frame(refs: Sequence[HeadRef], scores: Scores, columns: pl.Schema) -> pl.DataFrame:
    """Rows of the step's frame."""
    rows = [
        {"name": str(ref), "layer": ref.layer, "head": ref.index, **scores.summary(row)}
        for row, ref in enumerate(refs)
    ]
    return pl.DataFrame(rows, schema=columns)


def _estimate_frame(refs: Sequence[HeadRef], estimates: Tensor, intact: float) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "name": [str(ref) for ref in refs],
            "layer": pl.Series([ref.layer for ref in refs], dtype=pl.Int32),
            "head": pl.Series([ref.index for ref in refs], dtype=pl.Int32),
            "logprob": [intact + estimates[ref.layer][ref.index].item() for ref in refs],
        }
    )
