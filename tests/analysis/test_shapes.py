"""What the rows of a step are a picture of, told by its columns."""

from __future__ import annotations

import polars as pl
import pytest

from analysis.columns import Column
from analysis.shapes import measures, shape_of
from analysis.steps import (
    AblateStep,
    AttendStep,
    ChainStep,
    CnaStep,
    DetectStep,
    EdgesStep,
    EvaluateStep,
    FaithfulnessStep,
    GainsStep,
    HeadsStep,
    HiddenStep,
    LensStep,
    LoraStep,
    NeuronsStep,
    PairsStep,
    PatchStep,
    ProjectStep,
)
from analysis.tasks.prompts import Prompt, PromptSet

STEPS = {
    HeadsStep: "heads",
    DetectStep: "heads",
    AttendStep: "attention",
    LensStep: "positions",
    NeuronsStep: "neurons",
    CnaStep: "neurons",
    PairsStep: "neurons",
    HiddenStep: "neurons",
    ProjectStep: "tokens",
    GainsStep: "curve",
    ChainStep: "graph",
    EdgesStep: "graph",
    FaithfulnessStep: "curve",
    AblateStep: "table",
    EvaluateStep: "table",
    LoraStep: "table",
}


def columns(**dtypes):
    return [Column(name, dtype, "") for name, dtype in dtypes.items()]


@pytest.mark.parametrize(("step", "shape"), STEPS.items())
def test_every_step_has_the_shape_of_its_columns(step, shape):
    assert shape_of(step.columns) == shape


@pytest.mark.parametrize(
    ("shape", "dtypes"),
    [
        ("curve", {"name": pl.String, "layer": pl.Int32, "norm": pl.Float64}),
        ("table", {"name": pl.String, "layer": pl.Int32, "tokens": pl.List(pl.String)}),
        ("table", {"layer": pl.Int32, "epoch": pl.Int32, "loss": pl.Float64}),
        ("table", {"layer": pl.Int32, "head": pl.Int32, "query": pl.Int32, "weight": pl.Float64}),
        ("attention", {"query": pl.Int32, "key": pl.Int32, "weight": pl.Float64}),
        ("heads", {"layer": pl.Int32, "head": pl.Int32, "weight": pl.Float32}),
        ("positions", {"layer": pl.Int32, "position": pl.Int32, "recovered": pl.Float64}),
        ("positions", {"layer": pl.Int32, "position": pl.Int32, "head": pl.Int32}),
        (
            "text",
            {"variant": pl.String, "step": pl.Int32, "token": pl.String, "token_id": pl.Int32},
        ),
    ],
)
def test_a_step_of_somebody_else_has_the_shape_of_its_columns(shape, dtypes):
    assert shape_of(columns(**dtypes)) == shape


def test_lists_of_single_cases_tell_no_shape():
    kept = [
        *columns(layer=pl.Int32, norm=pl.Float64),
        Column("head", pl.Int32, "", detail=True),
        Column("each", pl.Float64, "", detail=True),
    ]
    assert shape_of(kept) == "curve"
    assert measures(kept) == ["norm"]


@pytest.mark.parametrize(
    ("unit", "positions", "shape"),
    [
        ("residual", None, "positions"),
        ("ffn", (0, -1), "positions"),
        ("attention", "all", "curve"),
        ("head", None, "heads"),
        ("head", "each", "table"),
        ("neuron", None, "neurons"),
    ],
)
def test_a_patch_is_the_picture_of_what_it_patches(unit, positions, shape):
    case = Prompt(prompt="a", corrupt="b", answer="c")
    step = PatchStep(prompts=PromptSet(name="a", prompts=(case,)), unit=unit, positions=positions)
    assert step.shape == shape
    assert ("head" in {each.name for each in step.filled}) == (unit == "head")
