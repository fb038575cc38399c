"""Which patterns heads follow, told on random tokens that are said twice (Olsson et al. 2022)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
from analysis.methods.attention import transform
from analysis.methods.heads import all_heads
from analysis.methods.looking import Attention, peak_bytes
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell
from analysis.refs import HeadRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model

CHUNK = 1_024
"""Tokens whose copies are looked for at once, each among all of the vocabulary."""


@torch.no_grad()
def detect_work(
    model: Model,
    said: int | Sequence[int],
    heads: Sequence[HeadRef] | None = None,
    copying: bool = False,
    seed: int = 0,
) -> Work:
    """How much heads follow each pattern; a frame a layer, a row a head.

    Args:
        model: the model.
        said: the token ids that are said twice, or how many random ones.
        heads: which heads; None: all.
        copying: also how much of the vocabulary each of them copies.
        seed: the same one draws the same tokens.
    """
    once = random_tokens(model, said, seed) if isinstance(said, int) else list(said)
    if 2 * len(once) > model.info.context:
        raise InputError(
            f"{len(once):,} tokens said twice are {2 * len(once):,}; {model.info.name} reads "
            f"{model.info.context:,} at most"
        )
    refs = all_heads(model) if heads is None else list(heads)
    run = Attention(model, once * 2)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for layer in dict.fromkeys(ref.layer for ref in refs):
            left = [ref for ref in refs if ref.layer == layer and str(ref) not in done]
            if left:
                tell(None, f"attention of layer {layer}")
                with torch.no_grad():
                    found = patterns(run.of(layer).weights[0])
                    copied = [copying_score(model, ref) if copying else None for ref in left]
                yield frame_of(
                    _row(ref, found) | {"copying": share}
                    for ref, share in zip(left, copied, strict=True)
                )

    baseline = {"tokens": [model.token(each) for each in once]}
    # Copying needs both ends of the vocabulary in float32 beside each other.
    ends = 2 * model.info.vocabulary * model.info.width * FLOAT32 if copying else 0
    memory = max(peak_bytes(model, 2 * len(once)), ends)
    return Work(len(refs), frames, baseline, memory=memory)


@torch.no_grad()
def copying_score(model: Model, head: HeadRef) -> float:
    """The share of tokens whose own logit a head raises most where it attends to them, 0 to 1.

    From the weights: embedding, input norm, value, output, final norm, unembedding. Norms count
    without their spread, which changes no order. It takes V · V · d multiplications.
    """
    carried = transform(
        model, head.layer, torch.eye(model.info.width, device=model.device), head.index
    )
    embedding, unembedding = model.parts.embedding_weight, model.parts.unembedding_weight
    # Both norms are linear but for their spread, and so is the head: one map of the stream.
    through = model.final_norm.linear(carried) @ unembedding.float().to(carried).T  # [d, V]
    right = 0
    for start in range(0, model.info.vocabulary, CHUNK):
        checkpoint()
        some = embedding[start : start + CHUNK].float().to(through)
        best = (some @ through).argmax(-1).cpu()
        right += int((best == torch.arange(start, start + len(some))).sum())
        tell(None, f"copying of {head}: token {start:,} of {model.info.vocabulary:,}")
    return right / model.info.vocabulary


def random_tokens(model: Model, length: int, seed: int) -> list[int]:
    """Different token ids drawn from the vocabulary, special ones left out.

    Raises:
        InputError: the vocabulary has not so many.
    """
    special = set(model.tokenizer.all_special_ids)
    known = range(min(model.info.vocabulary, len(model.tokenizer)))
    plain = [each for each in known if each not in special]
    if length > len(plain):
        raise InputError(f"{length} random tokens are more than the {len(plain):,} there are")
    return Random(f"{seed} detect").sample(plain, length)


def patterns(weights: Tensor) -> dict[str, Tensor]:
    """How much heads follow each pattern on n tokens said twice, [H] each.

    Args:
        weights: [H, 2n, 2n] attention weights, query × key.
    """
    half = weights.shape[-1] // 2

    def mean(offset: int, start: int) -> Tensor:
        """Over the queries i from `start` on, of the weight on i − offset."""
        return weights.diagonal(-offset, -2, -1)[:, start - offset :].double().mean(-1)

    return {
        "previous": mean(1, 1),
        "duplicate": mean(half, half),
        "induction": mean(half - 1, half),
        "first": weights[:, 1:, 0].double().mean(-1),
    }


def _row(ref: HeadRef, found: dict[str, Tensor]) -> dict[str, Any]:
    row = {"name": str(ref), "layer": ref.layer, "head": ref.index}
    return row | {name: values[ref.index].item() for name, values in found.items()}
