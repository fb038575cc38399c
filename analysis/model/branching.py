"""Runs that branch off from others: from a layer on, and from a position on.

What is changed at layer l and position p leaves everything below l as it was, and, because
attention looks back only, everything before p. So a branch takes the base run's residual stream
entering layer l at the positions from p on, and the base run's keys and values of those before.
Branches of one beginning, of several layers and several prompts, travel as rows of one batch: a
row joins at its layer.

Shapes: C prompts of n tokens each in the base run, B branches, d width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from analysis.model.forward import LayerCall, layer_calls, resumed
from analysis.model.parity import PACKING_TOLERANCE
from analysis.progress import checkpoint

if TYPE_CHECKING:
    from analysis.model.model import Model

STARTS = 16
"""Positions that branches begin at, at most: each takes a run of one row, to see how the model
calls its layers from there. A branch whose change comes later begins at the one before it."""


class Branch(Protocol):
    """One row."""

    @property
    def case(self) -> int:
        """Which prompt of the base run it branches off from."""

    @property
    def layer(self) -> int:
        """The lowest layer that is changed."""


class _Held(DynamicLayer):
    """Keys and values of a layer at earlier positions: looked at by rows, never added to."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.keys, self.values, self.is_initialized = keys, values, True
        self.rows = torch.zeros(1, dtype=torch.long)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """What a call attends to; its own keys and values are forgotten behind it."""
        assert self.keys is not None
        assert self.values is not None
        rows = self.rows[: len(key_states)].to(self.keys.device)
        return (
            torch.cat([self.keys[rows], key_states], -2),
            torch.cat([self.values[rows], value_states], -2),
        )


class Base:
    """The runs of C prompts of n tokens each that others branch off from.

    Args:
        model: the model, as it is now: branches must be run while it is the same.
        tokens: [C, n] what is read.
    """

    @torch.no_grad()
    def __init__(self, model: Model, tokens: Tensor) -> None:
        self.model = model
        self.tokens = tokens
        self._calls: dict[int, tuple[list[LayerCall], list[_Held]]] = {}
        cache = DynamicCache()  # of no config: no layer drops what is out of its window
        self._keys: list[tuple[Tensor, Tensor]] = []
        try:
            calls, final, _ = layer_calls(
                model.hf,
                model.parts,
                input_ids=tokens,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            kept: list[Any] = cache.layers
            self._keys = [(each.keys, each.values) for each in kept]
        except Exception:  # a model may refuse a cache that is not its own in any way it likes
            calls, final = model.run(tokens)
        self.entering = [call.entering for call in calls]
        """For each layer [C, n, d]."""
        self.final = final
        """[C, n, d] leaving the last layer."""

    @cached_property
    def carries(self) -> bool:
        """Whether branches may begin behind the first position, with the keys of those before.

        Tried once: what the last half of the prompt comes to must be what it was.
        """
        half = self.tokens.shape[1] // 2
        if len(self._keys) != len(self.entering) or not half:
            return False
        try:
            with torch.no_grad():
                found = self._resumed(half)
        except Exception:
            return False
        was = self.final[:1, half:]
        limit = PACKING_TOLERANCE if self.model.hf.dtype == torch.float32 else 1e-1
        return bool((found - was).abs().max() <= limit * was.abs().max().clamp_min(1.0))

    def _resumed(self, start: int) -> Tensor:
        calls, _ = self.calls_from(start)
        return resumed(calls, self.entering[0][:1, start:]).to(self.final.device)

    def starts(self, first: int) -> list[int]:
        """Where branches begin whose changes come at `first` or later."""
        length = self.tokens.shape[1]
        if not self.carries:
            return [0]
        apart = max(1, -(-(length - first) // STARTS))
        return list(range(first, length, apart))

    def calls_from(self, start: int) -> tuple[list[LayerCall], list[_Held]]:
        """How the model calls its layers on one row from a position on, and what they look at."""
        if start not in self._calls:
            row = self.tokens[:1]
            if start:
                held = [
                    _Held(keys[:, :, :start], values[:, :, :start]) for keys, values in self._keys
                ]
                calls, _, _ = layer_calls(
                    self.model.hf,
                    self.model.parts,
                    input_ids=row[:, start:],
                    past_key_values=Cache(layers=list(held)),
                    use_cache=True,
                    logits_to_keep=1,
                )
            else:
                held, (calls, _) = [], self.model.run(row)
            self._calls[start] = calls, held
        return self._calls[start]

    @torch.no_grad()
    def branch(
        self,
        start: int,
        branches: Sequence[Branch],
        entering: Callable[[int, Tensor, int], None],
        changing: Callable[[int, int], AbstractContextManager[object]],
    ) -> Tensor:
        """Run branches, each from its layer on, and from a common position on.

        Args:
            start: the position.
            branches: ordered by layer.
            entering: called with a layer, the residual stream [b, n − start, d] entering it, which
                it may write to, and b: how many of the branches are running there.
            changing: given a layer and that number, the hooks that hold while the layer runs.

        Returns:
            [B, n − start, d] leaving the last layer.
        """
        calls, held = self.calls_from(start)
        cases = torch.tensor([each.case for each in branches])
        for each in held:
            each.rows = cases
        x: Tensor | None = None
        running = 0
        for number in range(branches[0].layer, len(calls)):
            checkpoint()
            joined = running
            while running < len(branches) and branches[running].layer == number:
                running += 1
            own = self.entering[number]
            fresh = own[cases[joined:running].to(own.device), start:]
            x = fresh if x is None else torch.cat([x.to(fresh.device), fresh])
            entering(number, x, running)
            with changing(number, running):
                x = calls[number].again(x)
        assert x is not None
        return x.to(self.final.device)
