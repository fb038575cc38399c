"""Values as bars: by layer on one line, or one beside its number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.text import Text

from screens.text import NOTHING, number

_STEPS = "▁▂▃▄▅▆▇█"


def sparkline(
    values: Sequence[float | None], low: float | None = None, high: float | None = None
) -> str:
    """One bar for each value, from the lowest step to the highest.

    Args:
        values: the numbers; a missing one leaves a dot.
        low: the number the lowest step means; None: zero, or the least value if that is below.
        high: the number the highest step means; None: the largest value.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    if not known:
        return NOTHING * len(values)
    bottom = min(0.0, *known) if low is None else low
    top = max(known) if high is None else high
    return "".join(_bar(value, bottom, top) for value in values)


def _bar(value: float | None, low: float, high: float) -> str:
    if value is None or math.isnan(value):
        return NOTHING
    if high <= low:
        return _STEPS[0]
    return step_of((value - low) / (high - low))


def step_of(share: float) -> str:
    """The bar that is as high as a share of the line."""
    return _STEPS[math.floor(min(max(share, 0.0), 1.0) * (len(_STEPS) - 1) + 0.5)]


def layer_histogram(
    values: Sequence[float | None], label: str = "by layer", decimals: int = 2, width: int = 80
) -> Text:
    """`by layer  ▁▁▂█▇▁  0.00 to 4.13`, one bar for each layer.

    Args:
        values: a number for each layer.
        label: what is shown.
        decimals: digits after the point.
        width: cells there are; the range and then the label are left out where they do not fit.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    bars = sparkline(values)
    span = ""
    if known:
        span = f"{number(min(0.0, *known), decimals)} to {number(max(known), decimals)}"
    text = Text(no_wrap=True, end="")
    if len(label) + 2 + len(bars) <= width:
        text.append(f"{label}  ")
    text.append(bars)
    if span and len(text) + 2 + len(span) <= width:
        text.append(f"  {span}")
    return text


def signed_bar(value: float | None, largest: float) -> str:
    """A gain as a bar to the right of an axis, a loss to the left, six cells at most."""
    if value is None or not math.isfinite(value):
        return ""
    length = round(abs(value) / largest * 6)
    return f"{'█' * length:>6}│" if value < 0 else f"{'':6}│{'█' * length}"
