"""Names of heads and neurons: how they read, write and sort."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef, parse_layers, parse_parts

LAYERS = st.integers(0, 99_999)
HEADS = st.builds(HeadRef, LAYERS, st.integers(0, 999_999))
NEURONS = st.builds(NeuronRef, LAYERS, st.integers(0, 9_999_999))


@given(HEADS)
def test_a_head_reads_back_by_its_name_and_its_aliases(ref):
    layer, index = ref.layer, ref.index
    names = (f"L{layer}H{index}", f"{layer}_{index}", f"{layer}.{index}", f"a{layer}.h{index}")
    assert str(ref) == names[0]
    for name in names:
        assert HeadRef.parse(name) == ref
        assert HeadRef.parse(f" {name.upper()} ") == ref
        assert parse_parts(name) == ((ref,), ())


@given(NEURONS)
def test_a_neuron_reads_back_by_its_name_and_its_alias(ref):
    names = (f"L{ref.layer}N{ref.index}", f"m{ref.layer}.{ref.index}")
    assert str(ref) == names[0]
    for name in names:
        assert NeuronRef.parse(name) == ref
        assert NeuronRef.parse(name.lower()) == ref
        assert parse_parts(name) == ((), (ref,))


@given(st.lists(HEADS), st.lists(NEURONS))
def test_a_list_keeps_its_order_and_drops_repeats(heads, neurons):
    text = ",".join(str(ref) for ref in [*heads, *neurons, *heads])
    if not text:
        return
    assert parse_parts(text) == (tuple(dict.fromkeys(heads)), tuple(dict.fromkeys(neurons)))


@pytest.mark.parametrize(
    "text", ["", "L1", "L1H", "H1", "L-1H2", "L1N2", "L1H2x", "L1 H2", "1/2", "L1H1234567"]
)
def test_what_names_no_head_is_refused(text):
    with pytest.raises(InputError, match="is not the name of a head; write it like L17H22"):
        HeadRef.parse(text)


@pytest.mark.parametrize("text", ["", "L1H2", "N2", "m1", "1.2", "L1N", "L1N2.5", "L1N12345678"])
def test_what_names_no_neuron_is_refused(text):
    with pytest.raises(InputError, match="is not the name of a neuron; write it like L28N3696"):
        NeuronRef.parse(text)


@pytest.mark.parametrize("text", ["", " , ", "L1H2,nonsense", "L1H2;L1H3"])
def test_a_list_with_an_entry_that_names_nothing_is_refused(text):
    with pytest.raises(InputError, match="names neither a head nor a neuron"):
        parse_parts(text)


def test_names_sort_by_layer_then_index_not_by_letter():
    names = [HeadRef(10, 2), HeadRef(2, 10), HeadRef(2, 9)]
    assert [str(ref) for ref in sorted(names)] == ["L2H9", "L2H10", "L10H2"]


class Holder(BaseModel):
    head: HeadRef
    neurons: tuple[NeuronRef, ...] = ()


@given(HEADS, st.lists(NEURONS))
def test_json_holds_names_and_gives_back_references(head, neurons):
    holder = Holder(head=head, neurons=tuple(neurons))
    assert holder.model_dump(mode="json") == {
        "head": str(head),
        "neurons": [str(ref) for ref in neurons],
    }
    assert Holder.model_validate_json(holder.model_dump_json()) == holder


def test_a_bad_name_in_json_says_what_is_wrong():
    with pytest.raises(ValidationError, match="write it like L17H22"):
        Holder.model_validate({"head": "L1N2"})


def test_an_intervention_reads_a_mixed_list():
    change = Intervention.parse("L20H8, L3N7,a1.h2", factor=0.5)
    assert change.heads == (HeadRef(20, 8), HeadRef(1, 2))
    assert change.neurons == (NeuronRef(3, 7),)
    assert change.factor == 0.5
    assert str(change) == "L20H8,L1H2,L3N7 × 0.5"
    assert str(Intervention.parse("L20H8")) == "L20H8 zeroed"


def test_layers_are_read_singly_in_lists_and_in_ranges():
    assert parse_layers("9") == (9,)
    assert parse_layers("20, 3,9,3") == (3, 9, 20)
    assert parse_layers("0-3,2,7") == (0, 1, 2, 3, 7)
    for text in ("", "x", "9-3", "-1", "1-", "L9", "3,,4", "99999"):
        with pytest.raises(InputError, match="names no layers; write 9, 3,9,20 or 0-29"):
            parse_layers(text)
