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
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.interventions import Intervention
from analysis.model.forward import before, intervening, resumed
from analysis.model.packing import side_by_side, wanted
from analysis.model.passes import (
    CleanPass,
    Scores,
    clean_passes,
    intact_scores,
    join,
    score_pack,
    with_answers,
)
from analysis.model.tokens import Encoded
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell, told
from analysis.refs import HeadRef
from analysis.tasks.metrics import Metric
from analysis.work import Work, row_by_row

if TYPE_CHECKING:
    from analysis.interventions import Mode
    from analysis.methods.replacing import Unit
    from analysis.model.model import Model
    from analysis.tasks.prompts import Prompt

BATCH_TOKENS = {"cpu": 1_200, "cuda": 65_536}
"""Tokens in flight at once: enough to keep the device busy, few enough to stream results."""


@torch.no_grad()
def sweep_work(
    model: Model,
    prompts: Sequence[Prompt],
    heads: Sequence[HeadRef] | None = None,
    mode: Mode = "zero",
    metric: Metric = "logprob",
) -> Work:
    """Ablate one head at a time: intact scores and first-order estimates now, exact ones later.

    Args:
        model: the model.
        prompts: what each head is ablated on.
        heads: which; None: all of the model.
        mode: what replaces a head's output.
        metric: what estimates are of; of accuracy there are none, and the others' order is that of
            log-probability.
    """
    refs = all_heads(model) if heads is None else list(heads)
    for ref in refs:
        model.info.check_head(ref)
    encoded = with_answers(model, prompts)
    means = part_means(model, encoded) if mode == "mean" else None
    passes = clean_passes(model, encoded)
    intact = intact_scores(model, passes)
    differentiable: Metric = "logprob" if metric == "accuracy" else metric
    estimates = head_estimates(model, passes, means, differentiable)
    # The sign of a first-order estimate is often wrong, its size seldom: the largest go first.
    order = sorted(refs, key=lambda ref: -abs(estimates[ref.layer][ref.index].item()))

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [ref for ref in order if str(ref) not in done]
        for batch, scores in sweep(model, passes, left, means):
            yield frame(batch, scores)

    baseline = intact.summary(0) | {"metric": metric}
    nodes = max(len(each.packed.tokens) for each in passes)
    scored = max(len(each.packed.scored) for each in passes)
    rows = min(len(refs), batch_rows(model, nodes))
    memory = _peak_bytes(model, len(passes), nodes, scored, rows)
    shown = None
    if metric == differentiable:
        shown = _estimate_frame(refs, metric, baseline[metric] + estimates.double())
    return Work(len(refs), frames, baseline, shown, memory)


def _peak_bytes(model: Model, packs: int, nodes: int, scored: int, rows: int) -> int:
    """Roughly the most memory that a sweep takes: the largest tensors alive together.

    Args:
        model: the model.
        packs: packed sequences whose clean residual streams are kept.
        nodes: tokens in the largest of them.
        scored: answer tokens scored in the largest of them.
        rows: heads that travel in one batch.
    """
    info = model.info
    size = model.hf.dtype.itemsize
    kept = packs * nodes * info.width * (info.layers + 1) * size
    # In a layer: residual and normed copies, queries to outputs, gate, up and their product.
    layer = rows * nodes * (6 * info.width + 3 * info.neurons) * size
    attention = rows * info.heads * nodes * nodes * size
    logits = 2 * rows * scored * info.vocabulary * FLOAT32
    # The estimates' backward pass keeps every layer's activations of one row.
    backward = nodes * info.layers * (8 * info.width + 4 * info.neurons) * size
    return kept + max(layer + attention, logits, backward)


def batch_rows(model: Model, nodes: int) -> int:
    """How many heads travel in one batch over packs of so many tokens."""
    return max(1, BATCH_TOKENS.get(model.device.type, 4_096) // nodes)


def all_heads(model: Model) -> list[HeadRef]:
    """Every head of the model, layer by layer."""
    info = model.info
    return [HeadRef(layer, head) for layer in range(info.layers) for head in range(info.heads)]


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
                scores = join(
                    [
                        _ablated(model, each, batch, means, place / len(passes))
                        for place, each in enumerate(passes)
                    ]
                )
        except torch.OutOfMemoryError:
            if rows == 1:
                raise
            rows = max(1, rows // 2)
            continue
        yield batch, scores
        waiting = waiting[len(batch) :]


def _ablated(
    model: Model,
    clean: CleanPass,
    batch: Sequence[HeadRef],
    means: dict[int, Tensor] | None,
    share: float,
) -> Scores:
    """Scores [B, P] over one pack, row b without head b; such a share of the packs is done."""
    by_layer = sorted(range(len(batch)), key=lambda row: batch[row])
    layers = [batch[row].layer for row in by_layer]
    x: Tensor | None = None
    joined = 0
    for number in range(layers[0], len(clean.calls)):
        checkpoint()
        tell(share * len(batch), f"layer {number + 1} of {len(clean.calls)}")
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
    return scores.rows(torch.argsort(torch.tensor(by_layer)))


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
    model: Model,
    passes: Sequence[CleanPass],
    means: dict[int, Tensor] | None = None,
    metric: Metric = "logprob",
) -> Tensor:
    """First-order change of a metric's mean over the prompts when each head is ablated.

    One backward pass over each pack: the gradient at each head's output times what ablation
    would add to it.

    Returns:
        [L, H] float32 on the CPU.
    """
    parts = model.parts
    total = torch.zeros(len(parts.layers), parts.heads)
    prompts = sum(len(each.packed.prompts) for each in passes)
    for clean in told(passes, "estimates"):
        outputs: list[Tensor] = []

        def keep(x: Tensor, outputs: list[Tensor] = outputs) -> None:
            x.retain_grad()
            outputs.append(x)

        with torch.enable_grad(), ExitStack() as stack:
            for layer in parts.layers:
                stack.enter_context(before(layer.attention_out, keep))
            x = resumed(clean.calls, clean.calls[0].entering.detach().clone().requires_grad_())
            score_pack(model, clean.packed, x).measure(metric).sum().backward()
        for number, output in enumerate(outputs):
            assert output.grad is not None
            away = -output.detach() if means is None else means[number].to(output) - output.detach()
            share = (output.grad * away)[0].float().sum(0)
            total[number] += share.view(parts.heads, -1).sum(-1).cpu() / prompts
    return total


def frame(refs: Sequence[HeadRef], scores: Scores) -> pl.DataFrame:
    """A row for each head ablated."""
    return frame_of(
        {"name": str(ref), "layer": ref.layer, "head": ref.index, **scores.summary(row)}
        for row, ref in enumerate(refs)
    )


def _estimate_frame(refs: Sequence[HeadRef], metric: Metric, values: Tensor) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "name": [str(ref) for ref in refs],
            "layer": pl.Series([ref.layer for ref in refs], dtype=pl.Int32),
            "head": pl.Series([ref.index for ref in refs], dtype=pl.Int32),
            metric: [values[ref.layer][ref.index].item() for ref in refs],
        }
    )


@torch.no_grad()
def ablation_work(
    model: Model,
    prompts: Sequence[Prompt],
    sets: Sequence[Intervention],
) -> Work:
    """Scale one set of heads and neurons after the other everywhere; one row a set.

    Args:
        model: the model.
        prompts: what they are ablated on.
        sets: the sets.
    """
    for each in sets:
        model.info.check_parts(each)
    encoded = with_answers(model, prompts)
    passes = clean_passes(model, encoded)
    intact = intact_scores(model, passes)

    def row(change: Intervention) -> dict[str, Any]:
        counts = {"heads": len(change.heads), "neurons": len(change.neurons)}
        return counts | ablated(model, passes, change).summary(0)

    rows = row_by_row({each.names: partial(row, each) for each in sets})
    return Work(len(sets), rows, intact.summary(0))


@torch.no_grad()
def ablated(
    model: Model,
    passes: list[CleanPass],
    change: Intervention,
) -> Scores:
    """Scores [1, P] with one set ablated: only the layers from its lowest part up are run."""
    lowest = min(ref.layer for ref in (*change.heads, *change.neurons))
    with intervening(model.parts, [change]):
        return join([score_pack(model, each.packed, each.again(lowest)) for each in passes])


@torch.no_grad()
def part_means(model: Model, encoded: Sequence[Encoded], unit: Unit = "head") -> dict[int, Tensor]:
    """What heads write, or the coefficients of neurons, on average over every token of prompts.

    Returns:
        For each layer the mean input of attention's output projection [H · head width], or of the
        down projection [N], float32.
    """
    total: dict[int, Tensor] = {}
    count = 0

    def add(number: int) -> Callable[[Tensor], None]:
        def to_total(x: Tensor) -> None:
            total[number] = total.get(number, 0) + x.float().flatten(0, -2).sum(0)

        return to_total

    with ExitStack() as stack:
        for number, layer in enumerate(model.parts.layers):
            module = layer.ffn_out if unit == "neuron" else layer.attention_out
            stack.enter_context(before(module, add(number)))
        for _, tokens, _ in told(batches(model, encoded), f"mean of each {unit}"):
            model.run(tokens)
            count += tokens.numel()
    return {number: each / count for number, each in total.items()}


_MEAN_TOKENS = 8_192
"""Tokens of a batch of equally long prompts."""


def batches(model: Model, encoded: Sequence[Encoded]) -> list[tuple[list[int], Tensor, Tensor]]:
    """Prompts of equal length together: places, tokens [b, n], answers [b, t, a]."""
    groups: dict[tuple[int, int], list[int]] = {}
    for place, each in enumerate(encoded):
        groups.setdefault((len(each.ids), len(each.answer_ids)), []).append(place)
    batches = []
    for (length, _), places in groups.items():
        size = max(1, _MEAN_TOKENS // length)
        for start in range(0, len(places), size):
            some = places[start : start + size]
            tokens = [encoded[i].read(model.behind) for i in some]
            answers = side_by_side([each for i in some for each in wanted(encoded[i])])
            batches.append(
                (
                    some,
                    torch.tensor(tokens, device=model.device),
                    answers.reshape(len(some), -1, answers.shape[-1]).to(model.device),
                )
            )
    return batches
