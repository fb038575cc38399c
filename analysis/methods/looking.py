"""What heads attend to: weights from each query to each key, exactly as the model used them.

Shapes: n positions, H heads, d width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl
import torch
from torch import Tensor, nn

from analysis.methods.attention import value_lengths, written_values
from analysis.model.attending import weights_of
from analysis.model.weights import FLOAT32
from analysis.progress import checkpoint, tell
from analysis.work import Work

if TYPE_CHECKING:
    from analysis.model.forward import LayerCall
    from analysis.model.model import Model
    from analysis.refs import HeadRef
    from analysis.tasks.prompts import PromptSet

LONG = 512
"""Tokens of the longest prompt of which every key is kept."""
KEYS = 32
"""Keys that are kept for each query of a longer one."""


class Attention:
    """One run of a prompt and the attention in it."""

    def __init__(self, model: Model, ids: Sequence[int]) -> None:
        self._model = model
        calls, final = model.run(torch.tensor([list(ids)], device=model.device))
        self._calls: list[LayerCall] = calls
        self._leaving = [*(call.entering for call in calls[1:]), final]

    def weights(self, layer: int) -> Tensor:
        """Attention weights of all heads of a layer [H, n, n] float32, query × key."""
        checkpoint()
        return weights_of(self._model, self._calls[layer], layer, self._leaving[layer])[0]

    def looks(self, layer: int, heads: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Weights of some heads of a layer, and the same weighted by their values.

        Returns:
            Twice [heads, n, n] float32, query × key; each row of the second sums to 1 too.
        """
        weights = self.weights(layer)[list(heads)]
        lengths = value_lengths(self._model, layer, self._read(layer), heads)  # [heads, n]
        weighted = weights * lengths[:, None].to(weights.device)
        return weights.cpu(), (weighted / weighted.sum(-1, keepdim=True)).cpu()

    def sources(self, layer: int, heads: Sequence[int]) -> Tensor:
        """What some heads of a layer write at the last position, by the position it comes from.

        Returns:
            [heads, n, d] float32, short of what stands between attention and the residual stream.
        """
        weights = self.weights(layer)[list(heads), -1]  # [heads, n]
        written = written_values(self._model, layer, self._read(layer), heads, scaled=True)
        return torch.stack(
            [row[:, None] * each for row, each in zip(weights, written, strict=True)]
        )

    def _read(self, layer: int) -> Tensor:
        """What a layer's attention reads [n, d]: the residual stream behind its norm."""
        seen: list[Tensor] = []

        def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen.append(kwargs["hidden_states"] if "hidden_states" in kwargs else args[0])

        attention, call = self._model.parts.layers[layer].attention, self._calls[layer]
        handle = attention.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            call.again(call.entering)
        finally:
            handle.remove()
        return seen[0][0]


@torch.no_grad()
def attention_work(
    model: Model, prompts: PromptSet, heads: Sequence[HeadRef], top: int | None = None
) -> Work:
    """What heads attend to in a prompt; a frame a head, a row a query and a key.

    Args:
        model: the model.
        prompts: what is read.
        heads: which heads.
        top: keys kept for each query, those of the largest weights; None: all of a prompt of up to
            `LONG` tokens, `KEYS` of a longer one.
    """
    for head in heads:
        model.info.check_head(head)
    ids = model.encode(prompts.prompts[0]).ids
    count = len(ids)
    kept = top if top is not None else None if count <= LONG else KEYS
    tokens = [model.token(each) for each in ids]
    seen = Attention(model, ids)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        left = [head for head in heads if str(head) not in done]
        for layer in dict.fromkeys(head.layer for head in left):
            tell(None, f"attention of layer {layer}")
            here = [head for head in left if head.layer == layer]
            with torch.no_grad():
                looks = seen.looks(layer, [head.index for head in here])
            for head, weights, weighted in zip(here, *looks, strict=True):
                yield _frame(head, weights, weighted, tokens, kept)

    expected = len(heads) * sum(min(kept or count, query + 1) for query in range(count))
    baseline = {"tokens": tokens, "cases": 1, "top": kept}
    return Work(expected, frames, baseline, memory=peak_bytes(model, count))


def peak_bytes(model: Model, count: int) -> int:
    """Roughly the most memory that looking at one layer takes for a prompt of so many tokens.

    Scores, weights and their float32 copies of all heads stand beside each other; the rows of a
    head take little beside them.
    """
    return 4 * model.info.heads * count * count * FLOAT32


def _frame(
    head: HeadRef, weights: Tensor, weighted: Tensor, tokens: Sequence[str], top: int | None
) -> pl.DataFrame:
    """Rows of one head from its weights [n, n], keys behind their query left out."""
    known = torch.ones_like(weights, dtype=torch.bool).tril()
    if top is not None and top < len(tokens):
        best = weights.masked_fill(~known, -1).topk(top, dim=-1).indices
        known &= torch.zeros_like(known).scatter_(-1, best, True)
    query, key = (each.numpy() for each in known.nonzero(as_tuple=True))
    texts = pl.Series(list(tokens), dtype=pl.String)
    return pl.DataFrame(
        {
            "query": query,
            "key": key,
            "query_token": texts.gather(query),
            "key_token": texts.gather(key),
            "weight": weights[known].double().numpy(),
            "value_weighted": weighted[known].double().numpy(),
        }
    ).with_columns(name=pl.lit(str(head)), layer=pl.lit(head.layer), head=pl.lit(head.index))
