"""How an adapter is trained, as data."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from analysis.errors import InputError
from analysis.options import Option, Typed, options_of, single, typed_fields

RATES = (1e-3, 5e-4, 1e-4)
"""Learning rates the paper chooses from (section 5)."""

TOPS = (50, 30, 20, 10)
"""How many of the neurons that an adapter raises most the paper averages over (Table 10)."""


def parse_rates(text: str) -> tuple[float, ...]:
    """Read learning rates such as `1e-3,5e-4`.

    Raises:
        InputError: there are none, or one of them is no number above 0.
    """
    try:
        return _checked(tuple(float(each) for each in text.split(",") if each.strip()))
    except ValueError as error:
        raise InputError(f"learning rates {text}: give numbers above 0, as 1e-3,5e-4") from error


def _checked(rates: tuple[float, ...]) -> tuple[float, ...]:
    wrong = [rate for rate in rates if not (math.isfinite(rate) and rate > 0)]
    if wrong or not rates:
        given = f"{wrong[0]:g}" if wrong else "none"
        raise ValueError(f"learning rate {given}: give numbers above 0, as 1e-3,5e-4")
    return tuple(dict.fromkeys(rates))


LR = Option(
    "lr",
    "Learning rates, all trained: validation cases choose.",
    default=",".join(f"{rate:g}" for rate in RATES),
)


class Tuning(BaseModel):
    """LoRA's size, and how long and how fast it learns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(8, ge=1, description="Rank of the adapter's matrices.")
    alpha: int = Field(16, ge=1, description="Its output is multiplied by alpha / rank.")
    rates: Annotated[tuple[float, ...], single(LR, parse_rates)] = RATES
    """Learning rates; each is trained, and the validation cases choose."""
    epochs: int = Field(4, ge=1, description="At most; the best of them counts.")
    batch: int = Field(16, ge=1, description="Cases between two steps of the optimizer.")

    @field_validator("rates")
    @classmethod
    def _positive(cls, rates: tuple[float, ...]) -> tuple[float, ...]:
        return _checked(rates)


_FIELDS = typed_fields(Tuning)
TUNING = Typed(
    options_of(_FIELDS.values()),
    lambda given: {name: typed.read(given) for name, typed in _FIELDS.items()},
)
"""How a whole `Tuning` is asked for."""
