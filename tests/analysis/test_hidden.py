"""Hidden-interpretable neurons, against explicit matrices and a sorted vocabulary."""

from __future__ import annotations

import dataclasses
import threading

import polars as pl
import pytest
import torch
from plainly import Plainly
from polars.testing import assert_frame_equal
from working import rows

import analysis.methods.hidden
from analysis.errors import Cancelled, InputError
from analysis.methods.hidden import concept_tokens, last_shallow
from analysis.model.model import Model
from analysis.progress import cancellable
from analysis.refs import NeuronRef
from analysis.steps import HiddenStep, ProjectStep
from analysis.tasks.concepts import CONCEPTS, read_concepts

STEP = HiddenStep(layers=1, top_tokens=9)


def read(model: Model, plainly: Plainly, vector: torch.Tensor) -> list[str]:
    """All tokens in the order in which a vector promotes them."""
    order = plainly.readout(vector, vector).argsort(descending=True)
    return [model.token(token) for token in order.tolist()]


def plain_rows(model: Model, plainly: Plainly, step: HiddenStep = STEP) -> list[dict]:
    """One neuron and one attention layer after the other, counted with Python sets."""
    assert step.layers is not None
    wanted = {word.casefold() for word in step.concepts}
    found = []
    for layer in range(step.layers + 1):
        for neuron in range(model.info.neurons):
            value = plainly.bare_value(layer, neuron)
            behind = [
                read(model, plainly, plainly.transformed(value, j)) for j in range(step.layers + 2)
            ]

            def held(tokens: list[str]) -> list[str]:
                return [t for t in tokens[: step.top_tokens] if t.strip().casefold() in wanted]

            counts = [len(held(tokens)) for tokens in behind]
            most = max(counts)
            best = behind[counts.index(most)] if most else []
            found.append(
                {
                    "name": f"L{layer}N{neuron}",
                    "layer": layer,
                    "neuron": neuron,
                    "concepts": most,
                    "through": counts.index(most) if most else None,
                    "direct": len(held(read(model, plainly, value))),
                    "found": held(best),
                    "tokens": best[:10],
                }
            )
    return found


def test_every_family_is_read_as_one_neuron_and_one_layer_after_the_other(model, plainly):
    assert rows(STEP, model).to_dicts() == plain_rows(model, plainly)


@pytest.mark.parametrize(("likely", "top"), [(9, 2), (20, 5), (60, 5)])
def test_bounds_on_few_tokens_do_not_change_a_row(llama, plain_llama, monkeypatch, likely, top):
    monkeypatch.setattr(analysis.methods.hidden, "LIKELY", likely)
    asked, linear = [], torch.nn.functional.linear

    def counted(vectors, rows, bias=None):
        """How many vectors are compared with the whole vocabulary."""
        if vectors.ndim == 2 and len(rows) == llama.info.vocabulary:
            asked.append(len(vectors))
        return linear(vectors, rows, bias)

    # Few words, so that most layers cannot win and are never compared with the whole vocabulary.
    step = STEP.model_copy(update={"concepts": ("3", "7", "three", "sum"), "top_tokens": top})
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.functional, "linear", counted)
        found = rows(step, llama).to_dicts()
    assert found == plain_rows(llama, plain_llama, step)
    everything = 2 * llama.info.neurons * 4  # three attention layers, and none
    sample = asked[0] + asked[1]
    assert 0 < sum(asked) - sample < everything


def test_batches_and_short_memory_do_not_change_a_row(llama, monkeypatch):
    whole = rows(STEP, llama)
    monkeypatch.setattr(analysis.methods.hidden, "NEURONS", {"cpu": 7})
    monkeypatch.setattr(analysis.methods.hidden, "ROWS", {"cpu": 3})
    frames = list(STEP.run(llama))
    assert [frame.height for frame in frames] == [7, 7, 7, 3] * 2
    assert_frame_equal(pl.concat(frames), whole)

    in_halves = analysis.methods.hidden.in_halves

    def scarce(compute, neurons):
        def tight(some):
            if len(some) > 2:
                raise torch.OutOfMemoryError
            return compute(some)

        return in_halves(tight, neurons)

    monkeypatch.setattr(analysis.methods.hidden, "in_halves", scarce)
    assert_frame_equal(rows(STEP, llama), whole)


def test_what_is_on_disk_is_not_read_again_and_the_rest_is_the_same(llama, monkeypatch):
    monkeypatch.setattr(analysis.methods.hidden, "NEURONS", {"cpu": 10})
    first, *others = STEP.run(llama)
    assert_frame_equal(rows(STEP, llama, done=first["name"].to_list()), pl.concat(others))
    assert list(STEP.run(llama, rows(STEP, llama)["name"].to_list())) == []


def test_a_neuron_says_the_tokens_that_its_projection_shows(llama):
    table = rows(STEP, llama).filter(pl.col("concepts") > 0)
    for row in table.sample(5, seed=0).to_dicts():
        step = ProjectStep(source=row["name"], through=row["through"], top=10)
        shown = rows(step, llama).filter(pl.col("end") == "top")
        assert row["tokens"] == shown["token"].to_list()


def test_rows_are_ranked_and_counted(llama):
    table = STEP.ranked(rows(STEP, llama))
    about_tokens = ["concepts", "through", "direct", "found", "tokens"]
    assert table.columns == ["name", "layer", "neuron", *about_tokens]
    order = [(-row["concepts"], row["layer"], row["neuron"]) for row in table.to_dicts()]
    assert order == sorted(order)
    at_least = [sum(each >= m for each in table["concepts"]) for m in (1, 2, 3, 4)]
    assert len(set(at_least)) > 1
    words = "  ".join(f"≥{m} {count}" for m, count in enumerate(at_least, start=1))
    assert STEP.summary(table) == f"concept tokens: {words} of 48 neurons"
    work = STEP.bound(llama)
    assert work.expected == table.height == 48
    assert work.baseline == {"layers": 1, "concept_tokens": 16}


def test_it_stops_between_two_pieces_of_work(llama):
    flag = threading.Event()
    frames = STEP.bound(llama).frames(())
    with cancellable(flag):
        next(frames)
        flag.set()
        with pytest.raises(Cancelled):
            next(frames)


def test_concept_tokens_are_words_with_space_and_case_left_aside(llama):
    words = [" Three ", "SUM", "7", "+", "zebra", ""]
    assert [llama.token(token) for token in concept_tokens(llama, words)] == [
        "+",
        "7",
        "sum",
        "three",
    ]
    with pytest.raises(InputError, match=r"none of the 2 concepts is a single token of tiny llama"):
        concept_tokens(llama, ["zebra", "lion"])
    with pytest.raises(InputError, match=r"the concept is not a single token of tiny llama"):
        concept_tokens(llama, ["zebra"])


def test_the_named_list_has_no_word_twice_and_no_single_roman_letter():
    assert len(CONCEPTS) == len({word.casefold() for word in CONCEPTS})
    assert not {"I", "V", "X", "i", "v", "x"} & set(CONCEPTS)
    assert {"0", "100", "eight", "huit", "acht", "otto", "восемь", "八", "VIII"} < set(CONCEPTS)
    assert {"+", "−", "×", "÷", "plus", "minus", "times", "divide"} < set(CONCEPTS)


def test_concepts_are_read_from_a_list_and_from_a_file(tmp_path):
    assert read_concepts("one, two,one,/") == ("one, two, /", ("one", "two", "/"))
    assert read_concepts("a,b,c,d,e,f") == ("a, b, c, d and 2 more", tuple("abcdef"))
    assert read_concepts("1.5") == ("1.5", ("1.5",))
    file = tmp_path / "months.txt"
    file.write_text("\ufeffMay\n\n  June \nMay\na,b\n", "utf-8")
    assert read_concepts(str(file)) == ("months", ("May", "June", "a,b"))
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"months\.txt: it is not UTF-8 text"):
        read_concepts(str(file))
    file.write_text("\n \n")
    with pytest.raises(InputError, match=r"months\.txt holds no words; give a comma list"):
        read_concepts(str(file))
    with pytest.raises(InputError, match=r"cannot read concepts from none\.txt: No such file"):
        read_concepts("none.txt")
    with pytest.raises(InputError, match="--concepts holds no words"):
        read_concepts(" , ")
    assert len(read_concepts("one," * 5_000)[1]) == 1  # longer than any file's name


def test_half_the_layers_are_shallow(llama):
    def of(layers: int) -> Model:
        model = Model(llama.hf, llama.tokenizer, llama.parts, llama.info)
        model.info = llama.info.model_copy(update={"layers": layers})
        return model

    assert [last_shallow(of(layers), None) for layers in (2, 3, 30, 32)] == [0, 0, 14, 15]
    assert last_shallow(of(30), 28) == 28
    with pytest.raises(InputError, match=r"--layers 29 is out of range.* allows 0 to 28"):
        last_shallow(of(30), 29)
    with pytest.raises(InputError, match="has one layer, and no attention layer above it"):
        last_shallow(of(1), None)


def test_what_cannot_be_read_is_refused(llama):
    with pytest.raises(InputError, match="--top-tokens 129 is more than the 128 tokens"):
        HiddenStep(top_tokens=129).bound(llama)
    with pytest.raises(InputError, match="step hidden: concepts"):
        HiddenStep.of(concepts=())
    with pytest.raises(InputError, match="step hidden: top_tokens"):
        HiddenStep.of(top_tokens=0)
    with pytest.raises(InputError, match="--layers 2 is out of range"):
        HiddenStep(layers=2).bound(llama)


def test_the_value_of_a_step_is_not_changed_by_a_soft_cap_or_a_divisor(llama):
    """Only the order of tokens counts."""
    parts = dataclasses.replace(llama.parts, logit_divisor=7.0, logit_softcap=2.0)
    other = Model(llama.hf, llama.tokenizer, parts, llama.info)
    assert_frame_equal(rows(STEP, other), rows(STEP, llama))


def test_names_are_those_of_neurons(llama):
    for row in rows(STEP, llama).to_dicts():
        ref = NeuronRef.parse(row["name"])
        assert (ref.layer, ref.index) == (row["layer"], row["neuron"])
