"""What heads attend to, against the model's own eager `output_attentions`, and counts by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from tiny import HEADS, LAYERS
from working import rows

from analysis.refs import HeadRef
from analysis.steps import AttendStep
from analysis.tasks.prompts import PromptSet

PROMPT = PromptSet.single("the sum of one and 3 is ")
EVERY = tuple(HeadRef(layer, head) for layer in range(LAYERS) for head in range(HEADS))
TOLERANCE = 1e-5
COUNTED_TWICE = "falcon alibi"
"""Eager attention adds its biases twice there, which the model's usual attention does not."""


@torch.no_grad()
def eager(hf, ids):
    """The model's own weights of every layer: [L, H, n, n]."""
    other = copy.deepcopy(hf)
    other.config._attn_implementation = "eager"
    found = other(torch.tensor([list(ids)]), output_attentions=True).attentions
    return torch.cat(found).double()


def shaped(table, count, column="weight"):
    """A column of the rows of every head as [L, H, n, n], 0 where there is no row."""
    found = torch.zeros(LAYERS, HEADS, count, count, dtype=torch.float64)
    place = [table[name].cast(int).to_list() for name in ("layer", "head", "query", "key")]
    found[tuple(place)] = torch.tensor(table[column].to_list(), dtype=torch.float64)
    return found


def test_weights_are_the_models_own_in_every_family(case, model, ids):
    if case.name == COUNTED_TWICE:
        pytest.skip("its eager attention is not the one it uses")
    usual = model.hf.config._attn_implementation
    table = rows(AttendStep(prompts=PROMPT, heads=EVERY), model)
    assert len(table) == len(EVERY) * len(ids) * (len(ids) + 1) / 2
    assert torch.allclose(shaped(table, len(ids)), eager(model.hf, ids), atol=TOLERANCE)
    assert model.hf.config._attn_implementation == usual
