"""Steps as data: JSON and back, and what is refused."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from working import PROMPTS, rows

from analysis.columns import schema
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.refs import HeadRef, NeuronRef
from analysis.step import REGISTRY, parse_step
from analysis.steps import CnaStep, HeadsStep, NeuronsStep, ProjectStep
from analysis.tasks.prompts import Prompt, PromptSet

TEXT = st.text(min_size=1)
PROMPT = st.builds(Prompt, prompt=TEXT, answer=st.none() | TEXT, group=st.text())
HEADS = st.lists(st.builds(HeadRef, st.integers(0, 99), st.integers(0, 99))).map(tuple)
NEURONS = st.lists(st.builds(NeuronRef, st.integers(0, 99), st.integers(0, 9_999))).map(tuple)
CHANGE = st.builds(
    Intervention, heads=HEADS, neurons=NEURONS, factor=st.floats(-2, 2, allow_nan=False)
)
TOP = st.none() | st.integers(1, 10**6)
SETS = st.builds(PromptSet, name=TEXT, prompts=st.lists(PROMPT).map(tuple))
STEPS = st.one_of(
    st.builds(
        HeadsStep,
        prompts=SETS,
        mode=st.sampled_from(["zero", "mean"]),
        heads=st.none() | HEADS,
    ),
    st.builds(NeuronsStep, prompt=PROMPT, top=TOP),
    st.builds(CnaStep, prompt=PROMPT, ablate=CHANGE, top=TOP),
    st.builds(CnaStep, prompt=PROMPT, against=PROMPT, top=TOP),
    st.builds(
        ProjectStep,
        source=TEXT,
        through=st.none() | st.integers(0, 99),
        prompt=st.none() | PROMPT,
        top=st.integers(1, 100),
    ),
)


@given(STEPS)
def test_a_step_reads_back_from_its_json(step):
    assert parse_step(json.loads(step.model_dump_json())) == step
    assert step.title


def test_every_step_is_known_by_its_kind():
    for kind, step in REGISTRY.items():
        assert step.model_fields["kind"].default == kind
        assert step.key in schema(step.columns)
        assert step.ranked_by in schema(step.columns)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "unknown step kind None; known are"),
        ({"kind": ["heads"]}, "unknown step kind"),
        ({"kind": "nope"}, "unknown step kind 'nope'"),
        ({"kind": "neurons"}, "step neurons: prompt: Field required"),
        ({"kind": "neurons", "prompt": {"prompt": "a"}, "top": 0}, "top: Input should be greater"),
        ({"kind": "neurons", "prompt": {"prompt": "a"}, "extra": 1}, "extra: Extra inputs"),
        ({"kind": "cna", "prompt": {"prompt": "a"}}, "contrast"),
        (
            {"kind": "heads", "prompts": {"name": "x", "prompts": []}, "heads": ["L1N1"]},
            "write it like L17H22",
        ),
    ],
    ids=str,
)
def test_what_is_no_step_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        parse_step(data)


CASE = Prompt(prompt="1 + 1 = ")


@pytest.mark.parametrize(
    ("step", "columns", "height"),
    [
        (
            HeadsStep(prompts=PROMPTS, heads=("L0H0",)),
            "name layer head accuracy logprob prob prompt_logprob prompt_correct",
            1,
        ),
        (
            NeuronsStep(prompt=CASE, top=2),
            "name layer neuron importance coefficient tokens",
            2,
        ),
        (
            CnaStep(prompt=CASE, ablate=Intervention.parse("L0H0"), top=2),
            "name layer neuron importance importance_contrast importance_change "
            "coefficient coefficient_contrast coefficient_change tokens",
            2,
        ),
        (ProjectStep(source="L0N0", top=2), "end rank token token_id logit", 4),
    ],
    ids=["heads", "neurons", "cna", "project"],
)
def test_frames_have_the_declared_columns(llama, step, columns, height):
    table = rows(step, llama)
    assert table.schema == schema(step.columns)
    table = table.select([each.name for each in step.filled])
    assert table.columns == columns.split()
    assert table.null_count().sum_horizontal().item() == 0
    assert table[step.key].n_unique() == len(table) == height
    assert step.bound(llama).expected == height


def test_ranked_rows_are_in_the_order_tables_show(llama):
    sweep = HeadsStep(prompts=PROMPTS)
    assert sweep.ranked(rows(sweep, llama))["logprob"].is_sorted()
    neurons = NeuronsStep(prompt=Prompt(prompt="1 + 1 = "), top=9)
    found = rows(neurons, llama)
    assert neurons.ranked(found).equals(found)
    project = ProjectStep(source="L0N0", top=3)
    found = rows(project, llama)
    assert project.ranked(found.reverse()).equals(found)
    assert found["end"].to_list() == ["top"] * 3 + ["bottom"] * 3
    assert isinstance(found, pl.DataFrame)
