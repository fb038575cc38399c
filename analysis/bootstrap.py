"""Percentile bootstrap over cases: how far a number would move with other cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 2_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval, from so many cases. None: the cases do not say."""

    value: float | None
    low: float | None
    high: float | None
    cases: int

    @classmethod
    def certain(cls, value: float, cases: int = 1) -> Estimate:
        """A number that no draw of cases moves, as of a single case."""
        return cls(value, None, None, cases)

    @property
    def positive(self) -> bool:
        """Whether the whole interval is above 0."""
        return self.low is not None and self.low > 0

    def above(self, other: Estimate) -> bool:
        """Whether the intervals lie apart, this one above."""
        return self.low is not None and other.high is not None and self.low > other.high


def mean(values: ArrayLike, seed: int, scale: float = 100.0) -> Estimate:
    """Mean of one value a case, times `scale` (100: shares in percent)."""
    found = np.asarray(values, float)
    found = found[~np.isnan(found)]
    if not len(found):
        return Estimate(None, None, None, 0)
    drawn = found[_draws(len(found), seed)].mean(1)
    return _estimate(scale * found.mean(), scale * drawn, len(found))


def decrease(before: ArrayLike, after: ArrayLike, seed: int) -> Estimate:
    """Relative decrease in percent, `100 (1 − Σ after / Σ before)`, cases drawn in pairs.

    The paper's "decrease (%) of accuracy": Table 26 has 93.0 fall to 86.7 where Table 2 says 6.8.
    A case without a value on one side, as one without a control, is left out.
    """
    first, second = _complete(before, after)
    total = first.sum()
    if total == 0:
        return Estimate(None, None, None, len(first))
    places = _draws(len(first), seed)
    totals = first[places].sum(1)
    some = totals > 0  # a draw without a single right case has nothing to lose
    drawn = 100 * (1 - second[places].sum(1)[some] / totals[some])
    return _estimate(100 * (1 - second.sum() / total), drawn, len(first))


def of(statistic: Callable[..., NDArray[np.float64]], *values: ArrayLike, seed: int) -> Estimate:
    """A statistic of one or several values a case, which are drawn together.

    Args:
        statistic: takes as many arrays [R, n] and gives [R], one number a resample.
        values: [n] each.
        seed: of the resamples.
    """
    found = _complete(*values)
    cases = len(found[0])
    if not cases:
        return Estimate(None, None, None, 0)
    value = float(statistic(*(each[None] for each in found))[0])
    if cases == 1:
        return Estimate.certain(value)
    places = _draws(cases, seed)
    return _estimate(value, statistic(*(each[places] for each in found)), cases)


def _complete(*values: ArrayLike) -> list[NDArray[np.float64]]:
    """Values of the cases that have all of them."""
    found = [np.asarray(each, float) for each in values]
    there = ~np.isnan(found).any(0)
    return [each[there] for each in found]


def pooled(draws: Sequence[ArrayLike]) -> NDArray[np.float64]:
    """Outcomes of several random controls as one value a case: their mean."""
    together: NDArray[np.float64] = np.mean(np.asarray([*draws], float), axis=0)
    return together


def _draws(cases: int, seed: int) -> NDArray[np.int64]:
    """[R, n] places of the cases in each resample."""
    return np.random.default_rng(seed).integers(cases, size=(RESAMPLES, cases))


def _estimate(value: float, drawn: NDArray[np.float64], cases: int) -> Estimate:
    edge = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [edge, 100 - edge])
    return Estimate(float(value), float(low), float(high), cases)
