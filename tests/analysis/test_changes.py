"""Staged changes: written, read, merged, and told in a few words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef

PARTS = st.builds(HeadRef, st.integers(0, 99), st.integers(0, 99)) | st.builds(
    NeuronRef, st.integers(0, 99), st.integers(0, 9_999)
)
STAGED = st.dictionaries(PARTS, st.floats(allow_nan=False, allow_infinity=False)).map(
    lambda found: Changes(tuple(found.items()))
)


@given(STAGED)
def test_changes_read_back_from_the_command_line_and_from_a_step(changes):
    for again in (Changes.parse(changes.texts), Changes.of(changes.interventions)):
        assert dict(again.factors) == dict(changes.factors)
        assert again.interventions == changes.interventions
    assert len(changes) == len(changes.heads) + len(changes.neurons)


def test_the_same_part_staged_twice_has_its_last_factor():
    changes = Changes.parse(["L24N1493,L20H8", "L20H8=0.5"])
    assert dict(changes.factors) == {NeuronRef(24, 1493): 0.0, HeadRef(20, 8): 0.5}
    assert changes.merged([Intervention.parse("L20H8")]) == Changes.parse(["L24N1493", "L20H8"])


def test_a_part_can_be_taken_back():
    changes = Changes.parse(["L24N1493,L20H8", "L1H2=2"])
    assert changes.without([HeadRef(20, 8)]) == Changes.parse(["L24N1493", "L1H2=2"])
    assert not Changes.parse(["L1H2"]).without([HeadRef(1, 2)])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("L1", "'L1' names neither a head nor a neuron"),
        ("", "names neither"),
        ("=0.5", "names neither"),
        ("L1H2=", "the factor '' is not a number"),
        ("L1H2=half", "the factor 'half' is not a number"),
        ("L1H2=nan", "a factor of nan is not a finite number"),
        ("L1H2=-inf", "a factor of -inf is not a finite number"),
        ("L1H2=1e999", "a factor of inf is not a finite number"),
        ("L1H2=0.5=1", "is not a number"),
    ],
)
def test_what_is_no_change_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        Changes.parse([text])


def test_a_few_parts_are_named_and_many_counted():
    assert str(Changes.parse(["L24N1493,L20H8"])) == "L20H8,L24N1493 zeroed"
    assert str(Changes.parse(["L0H1,L0H2,L1N3,L1N4=2"])) == "2 heads and 2 neurons × 2"
    assert str(Changes.parse(["L0H1,L0H2,L0H3,L1N4=-1"])) == "3 heads and 1 neuron × -1"
    assert str(Changes()) == ""
