"""What heads attend to: weights from each query to each key, exactly as the model used them.

Shapes: n positions, R roles, H heads, d width.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import polars as pl
import torch
from torch import Tensor

from analysis.methods.attention import Called, on_one_token, value_lengths, written_values
from analysis.model.adapters import check_adapter, wearing
from analysis.model.attending import LayerAttention, attended
from analysis.model.pairs import strips
from analysis.model.tokens import roles_by_place
from analysis.model.weights import FLOAT32
from analysis.options import naming
from analysis.progress import checkpoint, tell, told
from analysis.tasks.contrasts import ROLES
from analysis.tasks.roles import from_the_end, in_order, is_told, roles_of
from analysis.work import Frames, Work

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.refs import HeadRef
    from analysis.tasks.prompts import Prompt, PromptSet

By: TypeAlias = Literal["role", "end"]
LONG = 512
"""Tokens of the longest prompt of which every key is kept."""
KEYS = 32
"""Keys that are kept for each query of a longer one."""
FROM_END = 32
"""Positions that are counted from the end one by one."""


class Attention:
    """One run of a prompt and the attention in it."""

    def __init__(self, model: Model, ids: Sequence[int]) -> None:
        self._model = model
        self._calls, final = model.run(torch.tensor([list(ids)], device=model.device))
        self._leaving = [*(call.entering for call in self._calls[1:]), final]

    def of(self, layer: int) -> LayerAttention:
        """What the attention of a layer did."""
        checkpoint()
        return attended(self._model, self._calls[layer], layer, self._leaving[layer])

    def sources(self, layer: int, heads: Sequence[int]) -> Tensor:
        """What some heads of a layer write at the last position, by the position it comes from.

        Returns:
            [heads, n, d] float32, short of what stands between attention and the residual stream.
        """
        found = self.of(layer)
        weights = found.weights[0, list(heads), -1]  # [heads, n]
        written = written_values(self._model, layer, found.read[0], heads, scaled=True)
        return torch.stack(
            [row[:, None] * each for row, each in zip(weights, written, strict=True)]
        )


class HeadPatterns:
    """How heads look, by weight and by value, in any run of a model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._called: dict[int, Called] = {}

    def __call__(self, run: Attention, layer: int, heads: Sequence[int]) -> Tensor:
        """Attention weights of some heads of a layer, and the same weighted by their values.

        Returns:
            [heads, 2, n, n] float32 on the CPU, query × key; each row sums to 1.
        """
        if layer not in self._called:
            self._called[layer] = on_one_token(self._model, layer)
        found = run.of(layer)
        weights = found.weights[0, list(heads)]
        lengths = value_lengths(self._model, layer, found.read[0], heads, self._called[layer])
        weighted = weights * lengths[:, None].to(weights.device)
        tiny = torch.finfo(weighted.dtype).tiny
        shares = weighted / weighted.sum(-1, keepdim=True).clamp_min(tiny)
        return torch.stack([weights, shares], 1).cpu()


@torch.no_grad()
def attention_work(
    model: Model,
    prompts: PromptSet,
    heads: Sequence[HeadRef],
    top: int | None = None,
    by: By | None = None,
    adapter: Path | None = None,
) -> Work:
    """What heads attend to; a frame a head, a row a query and a key.

    Args:
        model: the model.
        prompts: what is read: of one the positions are the rows, of several the means over
            positions of the same role.
        heads: which heads.
        top: keys kept for each query, those of the largest weights; None: all of a prompt of up to
            `LONG` tokens, `KEYS` of a longer one.
        by: the roles of several prompts; None: those that the cases tell, else counted from the
            end.
        adapter: folder of an adapter that the model wears meanwhile.
    """
    for head in heads:
        model.info.check_head(head)

    def work() -> Work:
        if len(prompts) == 1:
            return _of_one(model, prompts.prompts[0], heads, top)
        return _of_several(model, prompts, heads, top, by)

    plain = work()
    if adapter is None:
        return plain
    check_adapter(adapter)

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        tell(None, f"putting on {adapter.name}")
        with wearing(model, adapter):
            yield from work().frames(done)

    return replace(plain, frames=frames, baseline=plain.baseline | {"adapter": adapter.name})


def _of_one(model: Model, prompt: Prompt, heads: Sequence[HeadRef], top: int | None) -> Work:
    """The work on one prompt."""
    ids = model.encode(prompt).ids
    count = len(ids)
    kept = top if top is not None else None if count <= LONG else KEYS
    tokens = [model.token(each) for each in ids]
    run, looks = Attention(model, ids), HeadPatterns(model)
    before = torch.ones(count, count, dtype=torch.bool).tril()

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        for layer, here in _by_layer(heads, done).items():
            tell(None, f"attention of layer {layer}")
            with torch.no_grad():
                found = looks(run, layer, [head.index for head in here])
            for head, values in zip(here, found, strict=True):
                yield _frame(head, values, tokens, before, kept)

    baseline = {"tokens": tokens, "cases": 1, "top": kept}
    return _work(model, heads, before, kept, baseline, frames, count)


def _of_several(
    model: Model, prompts: PromptSet, heads: Sequence[HeadRef], top: int | None, by: By | None
) -> Work:
    """The work on several prompts: their mean, positions of one role together."""
    ids, cases = _read(model, prompts, by)
    roles = in_order(cases)
    places = [torch.tensor([roles.index(each) for each in case]) for case in cases]
    count = len(roles)
    met = torch.zeros(count, count, dtype=torch.bool)
    for place in places:
        query, key = torch.ones(len(place), len(place)).tril().nonzero(as_tuple=True)
        met[place[query], place[key]] = True

    def frames(done: Collection[str]) -> Iterator[pl.DataFrame]:
        layers = _by_layer(heads, done)
        if not layers:
            return
        looks = HeadPatterns(model)
        total = {layer: torch.zeros(len(here), 2, count, count) for layer, here in layers.items()}
        with torch.no_grad():
            for tokens, place in told(list(zip(ids, places, strict=True)), "case"):
                run = Attention(model, tokens)
                for layer, here in layers.items():
                    found = looks(run, layer, [head.index for head in here])
                    total[layer] += _gathered(found, place, count)
        # Each row by how many cases have a query of that role.
        cases_with = torch.stack([_present(place, count) for place in places]).sum(0)[:, None]
        for layer, here in layers.items():
            for head, values in zip(here, total[layer] / cases_with, strict=True):
                yield _frame(head, values, roles, met, top)

    baseline = {"tokens": roles, "cases": len(ids), "top": top}
    return _work(model, heads, met, top, baseline, frames, max(map(len, ids)))


def _read(
    model: Model, prompts: PromptSet, by: By | None
) -> tuple[list[tuple[int, ...]], list[list[str]]]:
    """Token ids of cases, and for each position its role."""
    names, every, cases = ROLES.get(prompts.name), [], []
    for number, prompt in enumerate(prompts.prompts, start=1):
        with naming(f"case {number} of {prompts.name}"):
            encoded = model.encode(prompt)
            two = None if prompt.corrupt is None else strips(model, prompt)
            given = roles_by_place(model.tokenizer, prompt, encoded)
        every.append(encoded.ids)
        differing = two.differing if two is not None and two.equally_long else ()
        right, wrong = (map(model.token, each) for each in (encoded.first, encoded.wrong))
        tokens = [model.token(each) for each in encoded.ids]
        cases.append(roles_of(tokens, list(right), list(wrong), differing, names, given))
    if by == "end" or (by is None and not any(map(is_told, cases))):
        most = min(FROM_END, min(map(len, every)))
        cases = [from_the_end(len(ids), most) for ids in every]
    return every, cases


def _present(place: Tensor, count: int) -> Tensor:
    """Which of so many roles the positions of a case have: [R] float32."""
    return (torch.bincount(place, minlength=count) > 0).float()


def _gathered(found: Tensor, place: Tensor, count: int) -> Tensor:
    """Patterns [heads, 2, n, n] of a case by role: the mean over queries, the sum over keys.

    Returns:
        [heads, 2, R, R]; rows of roles that the case has not are 0.
    """
    belongs = torch.nn.functional.one_hot(place, count).to(found.dtype)  # [n, R]
    share = belongs / belongs.sum(0).clamp_min(1)
    return share.T @ found @ belongs


def _by_layer(heads: Sequence[HeadRef], done: Collection[str]) -> dict[int, list[HeadRef]]:
    """The heads that are left to do."""
    found: dict[int, list[HeadRef]] = {}
    for head in heads:
        if str(head) not in done:
            found.setdefault(head.layer, []).append(head)
    return found


def _work(
    model: Model,
    heads: Sequence[HeadRef],
    known: Tensor,
    top: int | None,
    baseline: dict[str, Any],
    frames: Frames,
    longest: int,
) -> Work:
    keys = known.sum(-1) if top is None else known.sum(-1).clamp_max(top)
    rows = len(heads) * int(keys.sum())
    return Work(rows, frames, baseline, memory=peak_bytes(model, longest))


def peak_bytes(model: Model, count: int) -> int:
    """Roughly the most memory that looking at one layer takes for a prompt of so many tokens.

    Scores, weights and their float32 copies of all heads stand beside each other; the rows of a
    head take little beside them.
    """
    return 4 * model.info.heads * count * count * FLOAT32


def _frame(
    head: HeadRef, values: Tensor, tokens: Sequence[str], known: Tensor, top: int | None
) -> pl.DataFrame:
    """Rows of one head from its weights and their value-weighted shares [2, n, n].

    Args:
        head: the head.
        values: both.
        tokens: what stands at the positions.
        known: [n, n] which keys a query can see.
        top: keys that are kept of each query, by weight.
    """
    weights, weighted = values
    if top is not None and top < len(tokens):
        best = weights.masked_fill(~known, -1).topk(top, dim=-1).indices
        known = known & torch.zeros_like(known).scatter_(-1, best, True)
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
