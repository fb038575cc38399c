"""Random parts to stand beside chosen ones: the one draw that every control is made of."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from analysis.refs import HeadRef, NeuronRef

P = TypeVar("P", bound=HeadRef | NeuronRef)


@dataclass(frozen=True)
class Control(Generic[P]):
    """What was drawn beside some parts."""

    parts: tuple[P, ...]
    """For each of them in turn the one that stands in for it; none where there is no control."""
    note: str | None = None
    """What a reader must know: that some are of other layers, or why there is no control."""

    @property
    def missing(self) -> bool:
        """Whether there is none."""
        return not self.parts and self.note is not None


def random_like(
    beside: Sequence[P], seed: str, *, heads: int = 0, neurons: int = 0, avoiding: Iterable[P] = ()
) -> Control[P]:
    """Draw as many other parts of the same kinds and layers.

    None of the parts it stands beside is ever drawn, and no part twice. A layer that has too few
    others takes the rest from the nearest layers of the span, from the lowest layer of these parts
    to the highest of their kind, and the note says so. Where the whole span has too few there is
    no control, and the note says that.

    Args:
        beside: the parts to control for, each once.
        seed: the same text draws the same parts on every machine.
        heads: how many a layer has; needed where there are heads among the parts.
        neurons: the same of neurons.
        avoiding: the wider set that the parts were chosen from: drawn only where a layer has
            nothing else left.
    """
    taken, wider = set(beside), set(avoiding)
    pools: dict[tuple[type[P], int], list[P]] = {}

    def others(kind: type[P], layer: int) -> list[P]:
        """Those of a layer that are left, in random order; the last is the next to be drawn."""
        if (kind, layer) not in pools:
            width = heads if issubclass(kind, HeadRef) else neurons
            free = [ref for index in range(width) if (ref := kind(layer, index)) not in taken]
            random.Random(f"{seed} {kind.letter} {layer}").shuffle(free)
            pools[kind, layer] = sorted(free, key=lambda ref: ref not in wider)
        return pools[kind, layer]

    drawn = {part: pool.pop() for part in beside if (pool := others(type(part), part.layer))}
    left = [part for part in beside if part not in drawn]
    for part in left:
        kind = type(part)
        span = _span([each for each in beside if type(each) is kind])
        for layer in sorted(span, key=lambda layer: abs(layer - part.layer)):
            if pool := others(kind, layer):
                drawn[part] = pool.pop()
                break
        else:
            return Control((), _none(span, part.noun))
    return Control(tuple(drawn[part] for part in beside), _elsewhere(left, len(beside)))


def by_layer(neurons: Collection[NeuronRef]) -> list[str]:
    """Neurons in the short form that large draws are recorded in: `L3N1,4,9`, a text a layer."""
    found: dict[int, list[int]] = {}
    for each in sorted(neurons):
        found.setdefault(each.layer, []).append(each.index)
    return [f"L{layer}N{','.join(map(str, indices))}" for layer, indices in found.items()]


def _span(parts: Sequence[P]) -> range:
    return range(min(part.layer for part in parts), max(part.layer for part in parts) + 1)


def _none(span: range, noun: str) -> str:
    where = f"layer {span[0]} has" if len(span) == 1 else f"layers {span[0]} to {span[-1]} have"
    return f"no random control: {where} too few other {noun}s"


def _elsewhere(left: Sequence[HeadRef | NeuronRef], total: int) -> str | None:
    if not left:
        return None
    return f"{len(left)} of {total} random parts are of nearby layers, as their own have too few"
