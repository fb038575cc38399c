"""Which parts of a model are changed while it runs, and how."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from analysis.errors import InputError
from analysis.refs import HeadRef, NeuronRef, parse_parts

Mode = Literal["zero", "mean"]
"""What replaces an ablated head's output: zero (the paper's way) or its mean over the prompts."""
Replacement = Literal["zero", "mean", "resample"]
"""What replaces heads and neurons: also what they are in another run."""


class Intervention(BaseModel):
    """Heads and neurons whose output is multiplied by a factor at every position."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: tuple[HeadRef, ...] = ()
    neurons: tuple[NeuronRef, ...] = ()
    factor: float = Field(default=0.0, allow_inf_nan=False)

    @classmethod
    def parse(cls, text: str, factor: float = 0.0) -> Intervention:
        """Read a list such as `L20H8,L3N7`.

        Raises:
            InputError: an entry is neither a head nor a neuron, or the factor is no finite number.
        """
        if not isfinite(factor):
            raise InputError(f"a factor of {factor} is not a finite number; 0 takes parts away")
        heads, neurons = parse_parts(text)
        return cls(heads=heads, neurons=neurons, factor=factor)

    @property
    def names(self) -> str:
        """The parts, joined by commas."""
        return ",".join(str(ref) for ref in (*self.heads, *self.neurons))

    @property
    def verb(self) -> str:
        """What is done to them."""
        return "zeroed" if self.factor == 0 else f"× {self.factor:g}"

    def __str__(self) -> str:
        return f"{self.names} {self.verb}"
