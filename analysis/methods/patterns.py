"""Which patterns heads follow, told on random tokens that are said twice (Olsson et al. 2022)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor

from analysis.columns import frame_of
from analysis.errors import InputError
from analysis.methods.looking import Attention, peak_bytes
from analysis.progress import tell
from analysis.refs import HeadRef
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.model import Model


@torch.no_grad()
def detect_work(model: Model, length: int, seed: int) -> Work:
    """How much each head follows each pattern; a frame a layer, a row a head.

    Args:
        model: the model.
        length: how many random tokens are said twice.
        seed: the same one draws the same tokens.
    """
    once = random_tokens(model, length, seed)
    if 2 * len(once) > model.info.context:
        raise InputError(
            f"{len(once)} tokens said twice are {2 * len(once)}; {model.info.name} reads "
            f"{model.info.context} at most"
        )
    seen = Attention(model, once * 2)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for layer in range(model.info.layers):
            refs = [HeadRef(layer, head) for head in range(model.info.heads)]
            left = [ref for ref in refs if str(ref) not in done]
            if left:
                tell(None, f"attention of layer {layer}")
                with torch.no_grad():
                    found = patterns(seen.weights(layer))
                yield frame_of(_row(ref, found) for ref in left)

    baseline = {"tokens": [model.token(each) for each in once]}
    memory = peak_bytes(model, 2 * len(once))
    return Work(model.info.layers * model.info.heads, frames, baseline, memory=memory)


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
