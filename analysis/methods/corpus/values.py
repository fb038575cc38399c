"""What chosen neurons and heads come to at every token of some rows, run no deeper than needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.attention import as_added
from analysis.model import weights
from analysis.model.forward import after, before
from analysis.progress import checkpoint
from analysis.refs import HeadRef, NeuronRef

if TYPE_CHECKING:
    from analysis.model.model import Model


class _Enough(Exception):
    """All that is looked at has been seen: the layers above need not run."""


class Watch:
    """Reads coefficients of neurons, and the norms of what heads add to the residual stream."""

    def __init__(self, model: Model, parts: Sequence[HeadRef | NeuronRef]) -> None:
        """Find out where to look.

        Args:
            model: the model.
            parts: of what; their order is that of the values.
        """
        self._model = model
        self._neurons: dict[int, Tensor] = {}
        self._heads: dict[int, Tensor] = {}
        self._grams: dict[int, Tensor] = {}
        found: list[HeadRef | NeuronRef] = []
        for layer in sorted({each.layer for each in parts}):
            here = [each for each in parts if each.layer == layer]
            heads = [each for each in here if isinstance(each, HeadRef)]
            neurons = [each for each in here if isinstance(each, NeuronRef)]
            if heads:
                self._heads[layer] = torch.tensor([each.index for each in heads])
                self._grams[layer] = torch.stack([_gram(model, each) for each in heads])
            if neurons:
                self._neurons[layer] = torch.tensor([each.index for each in neurons])
            found += [*heads, *neurons]
        place = {part: number for number, part in enumerate(found)}
        order = [place[each] for each in parts]
        self._order = None if order == sorted(order) else torch.tensor(order, device=model.device)
        self.deepest = max(each.layer for each in parts)
        """The last layer that runs."""

    @torch.no_grad()
    def values(self, tokens: Tensor) -> Tensor:
        """[B, n, P] float32 of rows of tokens [B, n]."""
        model, rows = self._model, tokens.shape
        found: dict[tuple[int, bool], Tensor] = {}
        left = len(self._heads) + len(self._neurons)

        def keep(layer: int, heads: bool, read: Callable[[Tensor], Tensor], x: Tensor) -> None:
            nonlocal left
            found[layer, heads] = read(x).reshape(*rows, -1).to(model.device)
            left -= 1
            if not left:
                raise _Enough

        with ExitStack() as stack:
            for number, layer in enumerate(model.parts.layers[: self.deepest + 1]):
                stopping = layer.module.register_forward_pre_hook(lambda *_: checkpoint())
                stack.callback(stopping.remove)
                if number in self._heads:
                    norms = self._norms(number, stack)
                    kept = partial(keep, number, True, norms)
                    stack.enter_context(after(layer.attention_out, kept))
                if number in self._neurons:
                    kept = partial(keep, number, False, partial(_columns, self._neurons[number]))
                    stack.enter_context(before(layer.ffn_out, kept))
            with suppress(_Enough):
                model.hf(input_ids=tokens, use_cache=False, logits_to_keep=1)
        layers = range(self.deepest + 1)
        values = [found[each] for n in layers for each in ((n, True), (n, False)) if each in found]
        together = values[0] if len(values) == 1 else torch.cat(values, -1)
        return together if self._order is None else together[..., self._order]

    def _norms(self, layer: int, stack: ExitStack) -> Callable[[Tensor], Tensor]:
        """Given what attention writes, the norms of what each chosen head has in it."""
        model, part = self._model, self._model.parts.layers[layer]
        norm = model.attention_post_norm(layer)
        inputs: list[Tensor] = []
        stack.enter_context(before(part.attention_out, inputs.append))
        heads, gram = self._heads[layer], self._grams[layer]

        def norms(written: Tensor) -> Tensor:
            x = inputs.pop()
            z = x.reshape(-1, model.parts.heads, model.parts.head_width)[:, heads.to(x.device)]
            z = z.float()
            squares = torch.einsum("thi,hij,thj->th", z, gram.to(z.device), z)
            lengths = squares.clamp(min=0).sqrt()
            if norm is not None:  # what one head adds is scaled as all of them together are
                lengths = lengths * norm.scale(written.reshape(-1, written.shape[-1]))
            return lengths

        return norms


def _columns(chosen: Tensor, x: Tensor) -> Tensor:
    """Chosen coefficients as float32, a copy: some families go on in place."""
    if len(chosen) == x.shape[-1] and bool((chosen.diff() == 1).all()):
        return x.to(torch.float32, copy=True)
    return x.index_select(-1, chosen.to(x.device)).float()


def _gram(model: Model, head: HeadRef) -> Tensor:
    """[w, w] whose quadratic form is the square of the norm of what a head adds, z its input."""
    part = model.parts.layers[head.layer]
    where = model.parts.head_slice(head.index)
    inputs = torch.arange(where.start, where.stop)
    written = weights.columns(part.attention_out, model.parts.dtype, inputs).float()
    added = as_added(model, head.layer, written.to(model.device), None)
    return added @ added.T
