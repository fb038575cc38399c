"""Units replaced at positions of a run: residual stream, attention, FFN, heads and neurons.

Shapes: C prompts of n tokens each in the base run, B runs that branch off from it, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import torch
from torch import Tensor

from analysis.model.branching import Base
from analysis.model.forward import before, rewriting

if TYPE_CHECKING:
    from analysis.model.model import Model

Unit: TypeAlias = Literal["residual", "attention", "ffn", "head", "neuron"]
BATCH_TOKENS = {"cpu": 1_200, "cuda": 32_768}
"""Tokens in flight at once."""
BATCH_ROWS = {"cpu": 256, "cuda": 2_048}
"""Runs in flight at once: each has logits as long as the vocabulary."""


@dataclass(frozen=True)
class Part:
    """A unit of a layer."""

    unit: Unit
    layer: int
    index: int | None = None
    """Of the head or neuron."""

    @property
    def name(self) -> str:
        """`L16`, `L20H8`, `L28N3696`."""
        letter = {"head": "H", "neuron": "N"}.get(self.unit)
        return f"L{self.layer}" if letter is None else f"L{self.layer}{letter}{self.index}"

    def where(self, model: Model) -> slice:
        """Which entries of its unit's values are its own."""
        if self.index is None:
            return slice(None)
        if self.unit == "head":
            return model.parts.head_slice(self.index)
        return slice(self.index, self.index + 1)


@dataclass(frozen=True)
class Row:
    """One run that branches off from a base run, with some parts replaced at some positions."""

    case: int
    parts: tuple[Part, ...]
    positions: slice
    factor: float = 0.0
    """Of what is replaced so much is left."""

    @property
    def layer(self) -> int:
        """The lowest layer that is changed."""
        return min(part.layer for part in self.parts)


Values: TypeAlias = Mapping[Unit, Sequence[Tensor]]
"""By kind of unit for each layer what stands in their place [C, n, …]."""


@contextmanager
def through(
    model: Model, unit: Unit, layer: int, change: Callable[[Tensor], Tensor]
) -> Iterator[None]:
    """Pass a unit's values in a layer through `change`, all but those of the residual stream.

    What attention and FFN add may still lack the constant that all of it is multiplied by.
    """
    part = model.parts.layers[layer]
    if unit == "attention":
        hook = rewriting(part.attention_post_norm or part.attention_out, change)
    elif unit == "ffn":
        hook = rewriting(part.ffn_post_norm or part.ffn_out, change)
    else:
        hook = before(part.attention_out if unit == "head" else part.ffn_out, change)
    with hook:
        yield


@torch.no_grad()
def values_in(model: Model, unit: Unit, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
    """A unit's values [C, n, …] in each layer, and the final residual, of runs of tokens [C, n]."""
    found: list[Tensor] = []

    def keep(x: Tensor) -> Tensor:
        found.append(x.reshape(*tokens.shape, -1).clone())
        return x

    with ExitStack() as stack:
        for layer in range(model.info.layers) if unit != "residual" else ():
            stack.enter_context(through(model, unit, layer, keep))
        calls, final = model.run(tokens)
    return found or [call.entering for call in calls], final


@torch.no_grad()
def replaced(base: Base, start: int, rows: Sequence[Row], values: Values) -> Tensor:
    """Run rows, ordered by layer, from a position on: what leaves the last layer [B, n − start, d].

    Args:
        base: the runs they branch off from.
        start: no row changes anything before this position.
        rows: what each replaces.
        values: by what.
    """
    model = base.model
    by_layer: dict[tuple[int, Unit], list[tuple[int, Part]]] = {}
    for number, row in enumerate(rows):
        for part in row.parts:
            by_layer.setdefault((part.layer, part.unit), []).append((number, part))

    def put(layer: int, unit: Unit, x: Tensor) -> None:
        """Write what replaces a unit's values x [b, n − start, …] into them."""
        for number, part in by_layer.get((layer, unit), ()):
            source = values[unit][layer]
            row, own = rows[number], part.where(model)
            at = slice(row.positions.start - start, row.positions.stop - start)
            new = source[row.case, row.positions, own].to(x)
            if row.factor:
                new = row.factor * x[number, at, own] + (1 - row.factor) * new
            x[number, at, own] = new

    def changing(layer: int, running: int) -> AbstractContextManager[object]:
        def change(unit: Unit, x: Tensor) -> Tensor:
            # Some families flatten rows and positions.
            changed = x.reshape(running, -1, x.shape[-1]).clone()
            put(layer, unit, changed)
            return changed.reshape(x.shape)

        stack = ExitStack()
        for number, unit in by_layer:
            if number == layer and unit != "residual":
                stack.enter_context(through(model, unit, layer, partial(change, unit)))
        return stack

    def entering(layer: int, x: Tensor, running: int) -> None:
        put(layer, "residual", x)

    return base.branch(start, rows, entering, changing)


def batch_rows(model: Model, tokens: int) -> int:
    """How many patched runs of so many tokens travel in one batch."""
    kind = model.device.type
    return max(1, min(BATCH_ROWS.get(kind, 256), BATCH_TOKENS.get(kind, 1_200) // tokens))
