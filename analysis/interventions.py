"""Which parts of a model are changed while it runs, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from analysis.refs import HeadRef, NeuronRef, parse_parts

Mode = Literal["zero", "mean"]
"""What replaces an ablated head's output: zero (the paper's way) or its mean over the prompts."""


class Intervention(BaseModel):
    """Heads and neurons whose output is multiplied by a factor at every position."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    heads: tuple[HeadRef, ...] = ()
    neurons: tuple[NeuronRef, ...] = ()
    factor: float = 0.0

    @classmethod
    def parse(cls, text: str, factor: float = 0.0) -> Intervention:
        """Read a list such as `L20H8,L3N7`.

        Raises:
            InputError: an entry is neither a head nor a neuron.
        """
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
