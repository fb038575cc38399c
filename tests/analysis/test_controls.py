"""The one random draw: as many others of the same layers, or a word on why not."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from analysis.controls import by_layer, random_like
from analysis.refs import HeadRef, NeuronRef

LAYERS, WIDTH = 4, {HeadRef: 3, NeuronRef: 5}
PARTS = [kind(layer, i) for kind in WIDTH for layer in range(LAYERS) for i in range(WIDTH[kind])]


def drawn_beside(parts, seed="a", **options):
    return random_like(parts, seed, heads=WIDTH[HeadRef], neurons=WIDTH[NeuronRef], **options)


def shape(parts):
    return Counter((type(part), part.layer) for part in parts)


@given(st.lists(st.sampled_from(PARTS), unique=True), st.text(max_size=3))
def test_as_many_others_of_the_same_layers_or_it_is_said(parts, seed):
    control = drawn_beside(parts, seed)
    assert control == drawn_beside(parts, seed)
    spans = {}
    for kind in WIDTH:
        layers = [part.layer for part in parts if type(part) is kind]
        spans[kind] = range(min(layers), max(layers) + 1) if layers else range(0)
    possible = all(
        2 * sum(type(part) is kind for part in parts) <= len(spans[kind]) * WIDTH[kind]
        for kind in WIDTH
    )
    assert control.missing == (not possible)
    if not possible:
        assert "no random control" in control.note
        return
    assert len(set(control.parts)) == len(parts)
    assert not set(control.parts) & set(parts)
    for part, other in zip(parts, control.parts, strict=True):
        assert type(part) is type(other)
        assert other.index < WIDTH[type(other)]
        assert other.layer in spans[type(part)]
    roomy = all(2 * count <= WIDTH[kind] for (kind, _), count in shape(parts).items())
    assert (shape(control.parts) == shape(parts)) == roomy == (control.note is None)


def test_the_wider_set_is_drawn_from_last():
    parts = [NeuronRef(2, 0)]
    wider = [NeuronRef(2, index) for index in (0, 1, 2, 4)]
    assert {drawn_beside(parts, str(n), avoiding=wider).parts for n in range(9)} == {
        (NeuronRef(2, 3),)
    }
    everything = [NeuronRef(2, index) for index in range(5)]
    assert drawn_beside(parts, avoiding=everything).parts[0] in everything[1:]


def test_the_seed_decides_and_what_lacks_comes_from_the_nearest_layer_of_the_span():
    assert len({drawn_beside([NeuronRef(1, 0)], str(seed)).parts for seed in range(30)}) == 4
    crowded = [*(NeuronRef(1, index) for index in range(4)), NeuronRef(3, 0)]
    control = drawn_beside(crowded)
    assert Counter(part.layer for part in control.parts) == {1: 1, 2: 3, 3: 1}
    assert control.note == "3 of 5 random parts are of nearby layers, as their own have too few"


def test_large_draws_are_written_a_layer_at_a_time():
    assert by_layer([NeuronRef(3, 9), NeuronRef(0, 2), NeuronRef(3, 1)]) == ["L0N2", "L3N1,9"]
