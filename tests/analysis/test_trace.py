"""The residual stream and its parts, against modules really taken out of the model."""

from __future__ import annotations

import pytest
import torch
from plainly import Plainly, part

from analysis.interventions import Intervention
from analysis.model.trace import trace
from analysis.refs import HeadRef, NeuronRef
from analysis.tasks.prompts import Prompt


def assert_close(found: torch.Tensor, plain: torch.Tensor) -> None:
    size = plain.abs().max().clamp_min(1.0).item()
    assert (found.double() - plain).abs().max().item() < 1e-5 * size


def test_what_enters_and_leaves_each_layer_is_the_model_s_own(model, plainly, ids):
    run, plain = trace(model, ids), plainly.run(ids)
    assert_close(run.entering, plain.entering)
    assert_close(run.leaving, plain.leaving)
    assert_close(run.final, plain.leaving[-1])


def test_the_ffn_s_addition_is_what_is_missing_when_its_weights_are_zeroed(model, plainly, ids):
    run, plain = trace(model, ids), plainly.run(ids)
    assert_close(run.ffn, plain.ffn)
    for layer in range(model.info.layers):
        assert_close(run.before_ffn(layer), plain.before_ffn[layer])


def test_the_attention_s_addition_is_the_rest(model, plainly, ids):
    assert_close(trace(model, ids).attention, plainly.run(ids).attention)


def test_residual_attention_and_ffn_add_up_in_every_layer(model, ids):
    run = trace(model, ids)
    assert_close(run.entering + run.attention + run.ffn, run.leaving.double())
    assert_close(run.leaving[:-1], run.entering[1:].double())


def test_coefficients_are_what_enters_the_down_projection(model, plainly, ids):
    assert_close(trace(model, ids).coefficients, plainly.run(ids).coefficients)


def test_contributions_and_what_belongs_to_no_neuron_sum_to_the_ffn_s_addition(model, plainly, ids):
    run, plain = trace(model, ids), plainly.run(ids)
    for layer in range(model.info.layers):
        assert_close(run.contribution_sum(model, layer), plain.ffn[layer])


def test_each_neuron_s_contribution_is_its_value_times_coefficient_and_scale(model, plainly, ids):
    run = trace(model, ids)
    for layer in range(model.info.layers):
        amounts = (run.coefficients[layer] * run.scales[layer])[:, None]
        assert_close(amounts * model.values(layer), plainly.contributions(ids, layer))


@pytest.mark.parametrize(
    "change",
    [
        Intervention(heads=(HeadRef(0, 1), HeadRef(1, 3))),
        Intervention(neurons=(NeuronRef(0, 2), NeuronRef(1, 0))),
        Intervention(heads=(HeadRef(1, 0),), neurons=(NeuronRef(2, 7),)),
    ],
    ids=str,
)
def test_a_run_with_interventions_is_the_run_of_the_edited_model(model, plainly, ids, change):
    edited = plainly.without_heads(*((ref.layer, ref.index) for ref in change.heads))
    run = trace(model, ids, [change])
    plain = edited.without_neurons(*((ref.layer, ref.index) for ref in change.neurons)).run(ids)
    assert_close(run.leaving, plain.leaving)
    assert_close(run.attention, plain.attention)
    for ref in change.neurons:
        # What the intervention leaves of the neuron: nothing.
        assert run.coefficients[ref.layer, ref.index] == 0
        plain.coefficients[ref.layer, ref.index] = 0
    assert_close(run.coefficients, plain.coefficients)


def test_an_intervention_by_a_factor_scales_the_head_s_weights(llama, plain_llama):
    ids = llama.encode(Prompt(prompt="the sum of one and 3 is ")).ids
    run = trace(llama, ids, [Intervention(heads=(HeadRef(1, 1),), factor=0.25)])
    plain = plain_llama.without_heads((1, 1), share=0.75).run(ids)
    assert_close(run.leaving, plain.leaving)


def test_the_readout_of_the_run_s_own_residual_is_the_model_s_logits(model, plainly, ids):
    run = trace(model, ids)
    readout = run.freeze(model)
    assert_close(readout.cap(readout.logits(run.final)), plainly.logits(ids))


def test_the_readout_of_any_vector_is_the_frozen_norm_and_the_unembedding(model, plainly, ids):
    run = trace(model, ids)
    readout = run.freeze(model)
    other = trace(model, ids[:3]).leaving[1]
    plain = plainly.readout(other.double(), run.final.double())
    assert_close(readout.cap(readout.logits(other)), plain)
    assert_close(readout.directions(other), plainly.direction(other.double(), run.final.double()))


def test_every_norm_is_read_as_it_computes(model, plainly: Plainly):
    generator = torch.Generator().manual_seed(1)
    width = model.info.width
    for path, norm in (
        (plainly.case.final_norm, model.final_norm),
        *(
            (f"{plainly.case.layers}.1.{path}", norm)
            for path, norm in (
                (plainly.case.attention_norm, model.attention_norm(1)),
                (plainly.case.attention_post_norm, model.attention_post_norm(1)),
                (plainly.case.ffn_post_norm, model.ffn_post_norm(1)),
            )
            if path is not None
        ),
    ):
        assert norm is not None, path
        for size in (1e-3, 1.0, 300.0):
            x = torch.randn(5, width, generator=generator) * size + size
            assert_close(norm.of(x), part(plainly.hf, path)(x).double())


def test_the_table_names_every_norm_the_layer_has_and_no_other(model, plainly: Plainly):
    case = plainly.case
    for layer in model.parts.layers:
        for found, path in (
            (layer.attention_norm, case.attention_norm),
            (layer.attention_post_norm, case.attention_post_norm),
            (layer.ffn_norm, case.ffn_norm),
            (layer.ffn_post_norm, case.ffn_post_norm),
        ):
            assert found is (None if path is None else part(layer.module, path))


def test_the_keys_read_what_the_ffn_norm_writes(model, plainly, ids):
    """The rows of the FFN's first projections meet the output of the norm the table names."""
    for layer in model.parts.layers:
        first = [m for m in (layer.ffn_gate, layer.ffn_up, layer.ffn_gate_up) if m is not None]
        assert first
        assert {id(m) for m in first} == {id(part(layer.module, p)) for p in plainly.case.ffn_in}
        for module in first:
            entering = plainly.inputs_of(module, ids)
            if layer.ffn_norm is None:
                continue
            normed = layer.ffn_norm(plainly.inputs_of(layer.ffn_norm, ids).float())
            assert_close(entering, normed.double())
