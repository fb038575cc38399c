"""Steps on a variant say what the same steps say of a model whose weights are edited for real."""

from __future__ import annotations

import json

import polars as pl
import pytest
import torch
from plainly import Plainly
from tiny import few, named, opened, tokenizer
from tiny_folder import write_tiny_adapter
from working import PROMPTS, rows, scaled

from analysis.changes import Changes
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model.adapters import wearing
from analysis.model.loading import open_model
from analysis.step import parse_step
from analysis.steps import (
    AblateStep,
    ChainStep,
    CircuitStep,
    CnaStep,
    GainsStep,
    HeadsStep,
    HiddenSetsStep,
    HiddenStep,
    LensStep,
    NeuronsStep,
    ProjectStep,
)
from analysis.tasks.prompts import Prompt, PromptSet

CASE = Prompt(prompt="the sum of one and two is ", answer="three")
AGAINST = Prompt(prompt="the sum of two and two is ")
BOTH = Changes.parse(["L0H1", "L1H2=0.5", "L0N4=0.25", "L1N5", "L2N4=-2"])
HEADS = Changes.parse(["L0H1", "L1H2=0.5"])
BELOW = Changes.parse(["L0H1=0.5", "L0N4=0.25", "L0N5"])
TOLERANCE = 5e-5
CASES = PromptSet(name="answered", prompts=(*PROMPTS.prompts[:4], CASE))


def edited(model, case, changes):
    """The model with its weights edited, opened anew."""
    other = scaled(Plainly(model.hf, case), changes)
    return open_model(other.hf, tokenizer(case.bos), name="edited")


@pytest.fixture(scope="module")
def by_hand(model, case):
    return {changes: edited(model, case, changes) for changes in (BOTH, HEADS, BELOW)}


STEPS = [
    (HeadsStep(prompts=PROMPTS), BOTH),
    (HeadsStep(prompts=PROMPTS, mode="mean"), BOTH),
    (AblateStep(prompts=PROMPTS, sets=(Intervention.parse("L1H0,L2N4,L1N7"),)), BOTH),
    (NeuronsStep(prompt=CASE, top=None), BOTH),
    (NeuronsStep(prompt=CASE, top=5), HEADS),
    (CnaStep(prompt=CASE, ablate=Intervention.parse("L1H0"), top=None), BOTH),
    (CnaStep(prompt=CASE, against=AGAINST, top=7), HEADS),
    (GainsStep(prompt=CASE), BOTH),
    (LensStep(prompt=CASE), BOTH),
    (ProjectStep(source="L2N4", prompt=CASE), BOTH),
    (ProjectStep(source="L1H2", prompt=CASE), BOTH),
    (ProjectStep(source="L0N7", through=1), BOTH),
    (ProjectStep(source="attention:1", prompt=CASE), BOTH),
    (ProjectStep(source="residual:1", prompt=CASE, through=2, by=1), BOTH),
    (CircuitStep(prompts=CASES, head="L1H0", tops=(5, 2)), HEADS),
    (HiddenStep(concepts=("one", "two", "three", "sum"), top_tokens=30), HEADS),
]


@few
@pytest.mark.parametrize(("step", "changes"), STEPS, ids=lambda each: getattr(each, "kind", ""))
def test_a_step_on_a_variant_is_the_step_on_edited_weights(model, by_hand, step, changes):
    live = step.model_copy(update={"changes": changes.interventions})
    agree(rows(live, model), rows(step, by_hand[changes]), step, changes)
    assert live.bound(model).baseline.get("logprob") == pytest.approx(
        step.bound(by_hand[changes]).baseline.get("logprob"), abs=TOLERANCE
    )


@few
def test_sets_zeroed_on_a_variant_are_sets_zeroed_in_edited_weights(model, by_hand):
    concepts = ((0, 1, 2, *[0] * (model.info.neurons - 3)),)
    step = HiddenSetsStep(prompts=CASES, concepts=concepts, thresholds=(1,), controls=1)
    live = step.model_copy(update={"changes": BOTH.interventions})
    agree(rows(live, model), rows(step, by_hand[BOTH]), step, BOTH)


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "falcon new"])
def test_a_chain_on_a_variant_is_the_chain_on_edited_weights(name):
    case = named(name)
    model = opened(case)
    step = ChainStep(prompt=CASE, head="L1H0", deep=3, shallow=40, layers=1)
    live = step.model_copy(update={"changes": BELOW.interventions})
    agree(rows(live, model), rows(step, edited(model, case, BELOW)), step, BELOW)


def agree(live: pl.DataFrame, plain: pl.DataFrame, step, changes: Changes) -> None:
    """The same rows; a changed neuron's coefficient is that of the unchanged one times its factor.

    A neuron that does nothing has no tokens of its own, so its ties may be shown in any order.
    """
    factors = {str(part): factor for part, factor in changes.factors}
    assert live.height == plain.height > 0
    both = live.join(plain, on=step.key, suffix="_plain", how="inner")
    assert both.height == live.height
    scale = [factors.get(name.partition("@")[0], 1.0) for name in both[step.key].cast(pl.String)]
    own = pl.Series([factor == 1.0 for factor in scale])
    for name, dtype in live.schema.items():
        mine, other = both[name], both[f"{name}_plain"] if name != step.key else both[name]
        if name.startswith("coefficient") and name != "coefficient_decrease":
            other = other * pl.Series(scale)
        if dtype == pl.List(pl.Float32) or dtype == pl.List(pl.Float64):
            mine, other = mine.explode(), other.explode()
        elif "token" in name and isinstance(dtype, pl.List):
            mine, other = mine.filter(own), other.filter(own)
        if mine.dtype.is_float():
            assert mine.to_list() == pytest.approx(other.to_list(), abs=TOLERANCE, nan_ok=True), (
                name
            )
        else:
            assert mine.to_list() == other.to_list(), name


def test_between_two_frames_the_model_is_as_it_was(llama):
    plain = rows(NeuronsStep(prompt=CASE, top=3), llama)
    step = HeadsStep(prompts=PROMPTS, changes=BOTH.interventions)
    work = step.bound(llama)
    assert rows(NeuronsStep(prompt=CASE, top=3), llama).equals(plain)
    frames = work.frames(())
    first = next(frames)
    assert rows(NeuronsStep(prompt=CASE, top=3), llama).equals(plain)
    rest = [first, *frames]
    assert rows(NeuronsStep(prompt=CASE, top=3), llama).equals(plain)
    assert pl.concat(rest).equals(rows(step, llama))


def test_a_step_that_is_closed_or_fails_leaves_the_model_as_it_was(llama):
    plain = rows(NeuronsStep(prompt=CASE, top=3), llama)
    step = HeadsStep(prompts=PROMPTS, changes=BOTH.interventions)
    frames = step.bound(llama).frames(())
    next(frames)
    frames.close()
    assert rows(NeuronsStep(prompt=CASE, top=3), llama).equals(plain)
    wrong = NeuronsStep(prompt=Prompt(prompt="1" * 500), changes=BOTH.interventions)
    with pytest.raises(InputError, match="at most"):
        wrong.bound(llama)
    assert rows(NeuronsStep(prompt=CASE, top=3), llama).equals(plain)


def test_an_adapter_on_changed_heads_is_scaled_whole(tmp_path):
    """The low-rank path reads the same heads as the weight it stands beside."""
    case = named("llama grouped")
    model = opened(case)
    model.hf.save_pretrained(tmp_path / "model")
    folder = write_tiny_adapter(tmp_path / "model", tmp_path / "lora", "o_proj")
    change = Intervention.parse("L1H2", 0.5)
    ids = torch.tensor([model.encode(CASE).ids])
    with wearing(model, folder), model.changed([change]):
        inside = model.hf(ids).logits
    with model.changed([change]), wearing(model, folder):
        outside = model.hf(ids).logits
    assert torch.equal(inside, outside)
    with wearing(model, folder):
        assert not torch.allclose(model.hf(ids).logits, inside)
    assert not model.hf.model.layers[1].self_attn.o_proj._forward_pre_hooks


def test_records_of_before_read_as_they_did_and_a_step_without_changes_says_nothing():
    data = {"kind": "neurons", "prompt": {"prompt": "1 + 1 = "}, "top": 3}
    step = parse_step(data)
    assert step == NeuronsStep(prompt=Prompt(prompt="1 + 1 = "), top=3)
    assert step.changes == ()
    assert "changes" not in json.loads(step.model_dump_json())
    assert "changes" not in step.model_dump(mode="json")
    other = NeuronsStep(prompt=Prompt(prompt="1 + 1 = "), top=3, changes=BOTH.interventions)
    assert other != step
    assert parse_step(json.loads(other.model_dump_json())) == other


def test_the_title_says_what_is_changed():
    one = NeuronsStep(prompt=CASE, changes=Changes.parse(["L24N1493"]).interventions)
    assert one.title.endswith(" · with L24N1493 zeroed")
    many = Changes.parse([f"L0N{k}" for k in range(18)] + ["L20H8=0.5"])
    assert str(many) == "18 neurons zeroed, L20H8 × 0.5"


def test_parts_that_the_model_lacks_are_refused_before_anything_runs(llama):
    step = NeuronsStep(prompt=CASE, changes=(Intervention.parse("L3H0"),))
    with pytest.raises(InputError, match="L3H0 is not in"):
        step.bound(llama)
