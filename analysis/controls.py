"""Random parts to stand beside an edit."""

from __future__ import annotations

import random

from analysis.changes import Changes
from analysis.info import ModelInfo
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef


def random_like(edit: Changes, info: ModelInfo, seed: str) -> tuple[Intervention, ...]:
    """As many random parts of each layer with the same factors, none of the edited if that can be.

    Args:
        edit: what they stand beside.
        info: the model's shape.
        seed: the same text draws the same parts on every machine.
    """
    rng = random.Random(seed)
    free = {
        (kind, layer): _shuffled(rng, kind, layer, count, edit)
        for kind, count, parts in (
            (HeadRef, info.heads, edit.heads),
            (NeuronRef, info.neurons, edit.neurons),
        )
        for layer in sorted({part.layer for part in parts})
    }
    drawn = tuple((free[type(part), part.layer].pop(), factor) for part, factor in edit.factors)
    return Changes(drawn).interventions


def _shuffled(
    rng: random.Random,
    kind: type[HeadRef] | type[NeuronRef],
    layer: int,
    count: int,
    edit: Changes,
) -> list[HeadRef | NeuronRef]:
    """All parts of a kind in a layer in random order; those that are edited come first."""
    edited = {part for part, _ in edit.factors}
    parts: list[HeadRef | NeuronRef] = [kind(layer, index) for index in range(count)]
    rng.shuffle(parts)
    return sorted(parts, key=lambda part: part not in edited)
