"""Position scaling: every prompt gets the frequencies of its own length, alone or in a set."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from tiny import GROUPED, MIXED, TinyCase, built, named, tokenizer
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from analysis.bench.sweeps import plain_scores
from analysis.methods.heads import sweep
from analysis.model.loading import open_model
from analysis.model.passes import clean_passes, scored, with_answers
from analysis.model.trace import trace
from analysis.refs import HeadRef
from analysis.tasks.prompts import Prompt

TRAINED = 16
THETA = {"rope_theta": 10_000.0}
ORIGINAL = {"original_max_position_embeddings": TRAINED}
LONG = {"short_factor": [1.0, 1.1, 1.0, 1.3], "long_factor": [1.5, 2.0, 4.0, 8.0]} | ORIGINAL
ROPES = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0} | ORIGINAL,
    "longrope": LONG,
    "llama3": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0} | ORIGINAL,
    "proportional": {"factor": 2.0},
}
"""Settings of every kind of position scaling that transformers has."""


def rope(kind: str) -> dict[str, object]:
    return {"rope_type": kind} | THETA | ROPES[kind]


def scaled(kind: str, **more: object) -> TinyCase:
    """A Llama that scales its positions; only dynamic reads beyond the length it was trained to."""
    trained = TRAINED if kind == "dynamic" else 128
    config = GROUPED | {"max_position_embeddings": trained, "rope_parameters": rope(kind)}
    return TinyCase(kind, "llama", config | more)


CASES = [
    *(scaled(kind) for kind in ROPES),
    replace(
        scaled("longrope"),
        name="phi3",
        model_type="phi3",
        config=scaled("longrope").config | ORIGINAL,
    ),
    *(
        TinyCase(
            f"gemma3 {kind}",
            "gemma3_text",
            GROUPED
            | MIXED
            | {
                "head_dim": 8,
                "max_position_embeddings": TRAINED if kind == "dynamic" else 128,
                "rope_parameters": {
                    "full_attention": rope(kind),
                    "sliding_attention": rope("linear"),
                },
            },
        )
        for kind in ("dynamic", "longrope")
    ),
    replace(
        named("falcon"),
        config=named("falcon").config
        | {"max_position_embeddings": TRAINED, "rope_parameters": rope("dynamic")},
    ),
    replace(
        named("gpt neox"),
        config=named("gpt neox").config
        | {"max_position_embeddings": TRAINED}
        | {"rope_parameters": rope("dynamic") | {"partial_rotary_factor": 0.5}},
    ),
]


def prompts() -> list[Prompt]:
    """Short and long by turns, twice one length, and some whose answer crosses the trained one."""
    chance = random.Random(3)
    lengths = (5, 40, TRAINED - 1, 5, TRAINED, 60, TRAINED - 3, 40, TRAINED + 1)
    texts = ["".join(chance.choice("0123456789+=") for _ in range(each)) for each in lengths]
    return [Prompt(prompt=text, answer=chance.choice(("7", "12", "345"))) for text in texts]


def test_every_kind_of_position_scaling_is_tried():
    assert set(ROPES) == set(ROPE_INIT_FUNCTIONS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.model_type}")
def test_prompts_of_mixed_lengths_give_the_same_as_each_alone_on_a_fresh_model(case):
    model = open_model(built(case), tokenizer(case.bos), name=case.name)
    encoded = with_answers(model, prompts())
    alone, residuals = [], []
    for each in encoded:
        hf = built(case)
        ids = torch.tensor([[*each.ids, *each.answer_ids]])
        logits = hf(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        rows = logits[len(each.ids) - 1 : -1]
        alone.append(rows.gather(-1, torch.tensor(each.answer_ids)[:, None]).sum().item())
        fresh = built(case)
        residuals.append(fresh(input_ids=torch.tensor([each.ids]), use_cache=False).logits[0, -1])
    for found in (scored(model, encoded), plain_scores(model, encoded, [])):
        assert found.logprob[0].tolist() == pytest.approx(alone, abs=1e-4)
    for each, own in zip(encoded, residuals, strict=True):
        assert (model.logits(trace(model, each.ids).final) - own).abs().max() < 1e-4
    ref = HeadRef(1, 2)
    ((_, swept),) = sweep(model, clean_passes(model, encoded), [ref])
    assert torch.allclose(swept.logprob, plain_scores(model, encoded, [ref]).logprob, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "context"),
    [("linear", 128), ("llama3", 128), ("longrope", 128), ("dynamic", 1_000_000)],
)
def test_the_longest_prompt_is_that_of_the_scaled_positions(kind, context):
    assert open_model(built(scaled(kind)), tokenizer(False), name=kind).info.context == context


def test_yarn_reads_as_far_as_its_factor_says():
    case = scaled("yarn", max_position_embeddings=TRAINED)
    assert open_model(built(case), tokenizer(False), name="yarn").info.context == 4 * TRAINED
