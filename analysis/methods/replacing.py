"""Units replaced at positions of a run: residual stream, attention, FFN, heads and neurons.

Shapes: C prompts of n tokens each in the base run, B runs that branch off from it, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor

from analysis.errors import InputError
from analysis.model.branching import Base
from analysis.model.forward import before, rewriting
from analysis.model.packing import wanted
from analysis.model.passes import Targets
from analysis.model.weights import FLOAT32

if TYPE_CHECKING:
    from analysis.model.model import Model
    from analysis.model.tokens import Encoded

Item = TypeVar("Item")

Unit: TypeAlias = Literal["residual", "attention", "ffn", "head", "neuron"]
Positions: TypeAlias = Literal["each", "all"] | tuple[int, ...]
BATCH_TOKENS = {"cpu": 1_200, "cuda": 32_768}
"""Tokens in flight at once."""
BATCH_ROWS = {"cpu": 256, "cuda": 2_048}
"""AlikeCases in flight at once: each has logits as long as the vocabulary."""


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


Values: TypeAlias = Mapping[Unit, Mapping[int, Tensor]]
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
def values_in(
    model: Model, unit: Unit, tokens: Tensor, layers: Iterable[int] | None = None
) -> tuple[dict[int, Tensor], Tensor]:
    """A unit's values [C, n, …] by layer, and the final residual, of runs of tokens [C, n].

    Args:
        model: the model.
        unit: what.
        tokens: what is read.
        layers: which; None: all.
    """
    found: dict[int, Tensor] = {}

    def keep(layer: int, x: Tensor) -> Tensor:
        found[layer] = x.reshape(*tokens.shape, -1).clone()
        return x

    wanted = range(model.info.layers) if layers is None else layers
    with ExitStack() as stack:
        for layer in wanted if unit != "residual" else ():
            stack.enter_context(through(model, unit, layer, partial(keep, layer)))
        calls, final = model.run(tokens)
    return found or {layer: calls[layer].entering for layer in wanted}, final


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


class AlikeCases:
    """Cases of equal length, whose runs others branch off from.

    Args:
        model: the model.
        numbers: which cases of the set they are, from 0.
        encoded: what is read of each.
    """

    def __init__(self, model: Model, numbers: Sequence[int], encoded: Sequence[Encoded]) -> None:
        self.model, self.numbers = model, tuple(numbers)
        self.prompt = len(encoded[0].ids)
        """Tokens of each prompt."""
        tokens = read(model, encoded)
        self.length = tokens.shape[1]
        end = self.length - model.behind
        self.scored = slice(end - len(wanted(encoded[0])), end)
        self.targets = Targets.of(encoded, model.device)
        self.base = Base(model, tokens)

    def place(self, position: int) -> slice:
        """A position of the prompts, from 0 or from their end, as a slice of the sequence."""
        at = position if position >= 0 else self.prompt + position
        return slice(at, at + 1)

    def logits(self, final: Tensor, start: int = 0) -> Tensor:
        """[B, t, V] where answers are predicted, of runs that leave [B, n − start, d]."""
        return self.model.logits(final[:, self.scored.start - start : self.scored.stop - start])

    def branched(
        self, rows: Sequence[Row], values: Values, see: See, first: int = 0
    ) -> Iterator[tuple[list[int], Tensor]]:
        """Run rows, as many at once as there is room for, each from where it changes something.

        Args:
            rows: the runs; those that begin before `first` are left out.
            values: by what they replace.
            see: what is made of a batch.
            first: the first position at which a row changes anything.

        Yields:
            Numbers of rows, and what was made of them.
        """
        starts = self.base.starts(first)
        by_start: dict[int, list[int]] = {}
        for number, row in enumerate(rows):
            if row.positions.start >= first and starts:
                start = max(each for each in starts if each <= row.positions.start)
                by_start.setdefault(start, []).append(number)
        for start, numbers in by_start.items():
            numbers.sort(key=lambda number: rows[number].layer)
            for some in split(numbers, batch_rows(self.model, self.length - start)):
                yield some, self._branched(start, [rows[each] for each in some], values, see)

    def _branched(self, start: int, rows: list[Row], values: Values, see: See) -> Tensor:
        """The same of rows that fit into a batch, or into its halves."""
        try:
            final = replaced(self.base, start, rows, values)
            return see(final, start, torch.tensor([row.case for row in rows]))
        except torch.OutOfMemoryError:
            if len(rows) == 1:
                raise
        half = len(rows) // 2
        parts = (rows[:half], rows[half:])
        return torch.cat([self._branched(start, each, values, see) for each in parts])


See: TypeAlias = Callable[[Tensor, int, Tensor], Tensor]
"""Makes something [B, …] of what runs leave [B, n − start, d], that start, and their cases [B]."""


def positions_of(encoded: Sequence[Encoded], asked: Positions) -> tuple[int | None, ...]:
    """The positions of the prompts that something is done at, each by itself; None: all together.

    Raises:
        InputError: one is beyond a prompt, or stands for other words in other cases.
    """
    if asked == "all":
        return (None,)
    lengths = sorted({len(each.ids) for each in encoded})
    shortest, longest = lengths[0], lengths[-1]
    if asked == "each":
        if shortest != longest:
            raise InputError(
                f"the prompts have {shortest} to {longest} tokens, so that a position is not the "
                "same in all; give --positions all, or positions from the end as -1,-2"
            )
        return tuple(range(longest))
    for each in asked:
        if not -shortest <= each < shortest:
            raise InputError(
                f"position {each} is beyond a prompt of {shortest} tokens, which are 0 to "
                f"{shortest - 1}, or -1 to -{shortest} from the end"
            )
    if shortest == longest:
        asked = tuple(each % longest for each in asked)
    return tuple(dict.fromkeys(asked))


def token_at(model: Model, encoded: Sequence[Encoded], position: int | None) -> str | None:
    """The prompts' token at a position; None where they have different ones there."""
    if position is None:
        return None
    tokens = {each.ids[position] for each in encoded}
    return model.token(tokens.pop()) if len(tokens) == 1 else None


def read(model: Model, encoded: Sequence[Encoded]) -> Tensor:
    """What a model reads of cases of equal length [C, n]."""
    return torch.tensor([each.read(model.behind) for each in encoded], device=model.device)


def alike(encoded: Sequence[Encoded]) -> list[list[int]]:
    """Numbers of the cases whose prompts and answers have equally many tokens, together."""
    found: dict[tuple[int, int], list[int]] = {}
    for number, each in enumerate(encoded):
        found.setdefault((len(each.ids), len(each.answer_ids)), []).append(number)
    return list(found.values())


def split(items: list[Item], size: int) -> Iterator[list[Item]]:
    """So many at once."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def batch_rows(model: Model, tokens: int) -> int:
    """How many patched runs of so many tokens travel in one batch."""
    kind = model.device.type
    return max(1, min(BATCH_ROWS.get(kind, 256), BATCH_TOKENS.get(kind, 1_200) // tokens))


def batch_bytes(model: Model, tokens: int) -> int:
    """Roughly the most memory that such a batch takes."""
    info, size = model.info, model.hf.dtype.itemsize
    rows = batch_rows(model, tokens)
    layer = rows * tokens * (6 * info.width + 3 * info.neurons) * size
    layer += rows * info.heads * tokens * tokens * size
    return max(layer, 2 * rows * info.vocabulary * FLOAT32)
