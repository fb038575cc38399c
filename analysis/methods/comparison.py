"""What is scored together: one run, two that are compared, or many such pairs pooled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.methods.importance import Bounds, Range, Scored, exact
from analysis.model.readout import Readout

if TYPE_CHECKING:
    from analysis.model.model import Model


@dataclass(frozen=True)
class Comparison:
    """Importance in runs, and its mean over groups of them."""

    groups: tuple[tuple[Scored, ...], ...]
    """Runs that share a readout, equally many in each group."""
    shares: tuple[float, ...]
    """Of each group in the mean; they sum to 1."""

    @classmethod
    def of(cls, *runs: Scored) -> Comparison:
        """One group."""
        return cls((runs,), (1.0,))

    @property
    def runs(self) -> int:
        """How many runs a group has: R."""
        return len(self.groups[0])

    @property
    def bounded(self) -> bool:
        """Whether there are bounds: not under a soft cap, nor on the sum of several tokens."""
        several = any(each.tokens.shape[1] > 1 for group in self.groups for each in group)
        return self.readout.softcap is None and not several

    @property
    def readout(self) -> Readout:
        """That of the first group; the others differ in the frozen statistics alone."""
        return self.groups[0][0].readout

    def exact(self, directions: Tensor, layers: Tensor, neurons: Tensor) -> Tensor:
        """Importance [R, c] of neurons in each run, the mean over the groups; see `exact`.

        Args:
            directions: [c, V] what each neuron's value adds to the logits, in the first readout.
            layers: [c] the neurons' layers.
            neurons: [c] their indices.
        """
        found = []
        for group in self.groups:
            ratio = group[0].readout.scale / self.readout.scale
            own = directions if group is self.groups[0] else directions * ratio
            found.append(exact(group, own, layers, neurons))
        return self._mean(found)

    def coefficients(self) -> list[Tensor]:
        """[L, N] for each run, the mean over the groups."""
        places = range(self.runs)
        return [
            self._mean([group[place].run.coefficients for group in self.groups]) for place in places
        ]

    def bounds(self, model: Model) -> PooledBounds:
        """Bounds on the same means."""
        return PooledBounds([Bounds(model, group) for group in self.groups], self._mean)

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        if len(values) == 1:
            return values[0]
        pairs = zip(values, self.shares, strict=True)
        return torch.stack([share * value for value, share in pairs]).sum(0)


@dataclass(frozen=True)
class PooledBounds:
    """Bounds on means: the means of bounds."""

    each: list[Bounds]
    mean: Callable[[Sequence[Tensor]], Tensor]

    def of_all(self) -> list[Range]:
        """Bounds [L, N] on every neuron, for each run."""
        return self._pooled([bounds.of_all() for bounds in self.each])

    def closely(self, layers: Tensor, neurons: Tensor) -> list[Range]:
        """Closer bounds [c] on some neurons, for each run; see `Bounds.closely`."""
        return self._pooled([bounds.closely(layers, neurons) for bounds in self.each])

    def _pooled(self, groups: list[list[Range]]) -> list[Range]:
        return [
            (self.mean([low for low, _ in run]), self.mean([high for _, high in run]))
            for run in zip(*groups, strict=True)
        ]
