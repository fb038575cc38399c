"""A LayerNorm takes the mean of all it reads away: what only moves means must change no number."""

from __future__ import annotations

import pytest
import torch
from plainly import Plainly, matrix, part
from tiny import CASES, built, opened, tokenizer
from torch import nn
from working import rows

from analysis.interventions import Intervention
from analysis.model.loading import open_model
from analysis.model.model import Model
from analysis.steps import (
    ChainStep,
    CnaStep,
    GainsStep,
    HiddenStep,
    LensStep,
    NeuronsStep,
    ProjectStep,
)
from analysis.tasks.prompts import Prompt
from sessions.compare import compare

PROMPT = Prompt(prompt="the sum of 3 is ", answer="5")
READ = ("3", "one", "three")
STEPS = (
    NeuronsStep(prompt=PROMPT, top=12),
    CnaStep(prompt=PROMPT, ablate=Intervention.parse("L0H1"), top=12),
    GainsStep(prompt=PROMPT),
    LensStep(prompt=PROMPT),
    HiddenStep(layers=1, concepts=READ, top_tokens=10),
    ChainStep(prompt=PROMPT),
    ProjectStep(source="L1N3", top=6),
    ProjectStep(source="L1N3", prompt=PROMPT, top=6),
    ProjectStep(source="L0N5", through=2, prompt=PROMPT, top=6),
    ProjectStep(source="L1H2", prompt=PROMPT, top=6),
)
CENTRED = [
    case for case in CASES if isinstance(part(opened(case).hf, case.final_norm), nn.LayerNorm)
]


@torch.no_grad()
def moved(plain: Plainly) -> None:
    """Add a constant of its own to all that each neuron, head and bias writes."""
    generator = torch.Generator().manual_seed(4)
    for layer in range(len(plain.layers)):
        for out in (plain.attention_out(layer), plain.ffn_out(layer)):
            written = matrix(out)  # [d, inputs]
            written += torch.randn(written.shape[1], generator=generator)
            if out.bias is not None:
                out.bias += 3.0


@pytest.mark.parametrize("case", CENTRED, ids=lambda case: case.name)
def test_a_constant_added_to_every_entry_of_what_parts_write_changes_no_number(case):
    model = opened(case)
    other = built(case)
    moved(Plainly(other, case))
    shifted: Model = open_model(other, tokenizer(case.bos), name=case.name)
    assert shifted.info.parity_holds
    for step in STEPS:
        found = compare(step, rows(step, model), rows(step, shifted))
        assert found.holds(2e-4), (step.title, found)


def test_the_families_that_centre_are_known():
    assert {case.model_type for case in CENTRED} == {
        *("gpt2", "gptj", "gpt_neox", "gpt_neo", "opt", "bloom", "falcon", "phi", "stablelm")
    }
