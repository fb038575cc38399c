"""What attention carries, against a loop over positions and heads with no pulling back."""

from __future__ import annotations

import pytest
import torch
from plainly import Plainly, part
from tiny import few
from torch import Tensor

from analysis.methods.directions import WholeRun, pulled_to_positions, strongest_carried, whole_run
from analysis.model.model import Model
from analysis.model.trace import Trace, trace
from analysis.tasks.prompts import Prompt

TEXT = "the sum of 3 is "


@pytest.fixture(scope="module")
def ids(model: Model) -> tuple[int, ...]:
    return model.encode(Prompt(prompt=TEXT)).ids


@pytest.fixture(scope="module")
def whole(model: Model, ids: tuple[int, ...]) -> WholeRun:
    return whole_run(model, ids, model.info.layers)


@pytest.fixture(scope="module")
def run(model: Model, ids: tuple[int, ...]) -> Trace:
    return trace(model, ids)


@pytest.fixture(scope="module")
def direction(model: Model) -> Tensor:
    return torch.randn(model.info.width, generator=torch.Generator().manual_seed(2))


def carried_by_heads(
    plainly: Plainly, ids: tuple[int, ...], layer: int, position: int, vectors: Tensor
) -> Tensor:
    """[c, H, d] what each head carries of vectors [c, d] from a position to the last one."""
    pattern = plainly.patterns(ids)[layer]
    normed = plainly.into_attention(ids, layer, position, vectors)
    heads = [
        pattern[head, -1, position] * normed @ value_output.T
        for head, value_output in enumerate(plainly.value_output(layer))
    ]
    return torch.stack(heads, 1) * plainly.attention_scale(ids, layer)


def test_the_run_at_every_position_is_the_model_s_own(model, plainly, whole, ids):
    for layer in range(model.info.layers):
        assert (whole.entering[layer] - plainly.stream(ids, layer)).abs().max() < 1e-5
        coefficients = plainly.inputs_of(plainly.ffn_out(layer), ids)
        assert (whole.coefficients[layer] - coefficients).abs().max() < 1e-5
        last = plainly.run(ids).attention[layer]
        assert (whole.attention[layer][-1] - last).abs().max() < 1e-5


def test_a_direction_pulled_back_measures_what_arrives_along_it(
    model, plainly, whole, run, ids, direction
):
    layer = 1
    vectors = torch.randn(3, model.info.width, generator=torch.Generator().manual_seed(5)).double()
    every = pulled_to_positions(model, whole, run, layer, direction).double()
    one = pulled_to_positions(model, whole, run, layer, direction, head=2).double()
    for position in range(len(ids)):
        heads = carried_by_heads(plainly, ids, layer, position, vectors) @ direction.double()
        assert (vectors @ every[position] - heads.sum(1)).abs().max() < 1e-5
        assert (vectors @ one[position] - heads[:, 2]).abs().max() < 1e-5


@few
def test_all_that_is_carried_and_what_is_constant_make_up_the_attention(
    model, plainly, whole, run, ids, direction
):
    """Words, neurons, attention below and biases: together key · A^j, in every layer."""
    for layer in range(model.info.layers):
        pulled = pulled_to_positions(model, whole, run, layer, direction).double()
        total = (pulled * plainly.stream(ids, 0)).sum()
        for below in range(layer):
            added = plainly.stream(ids, below + 1) - plainly.stream(ids, below)
            for position in range(len(ids)):
                neurons = plainly.contributions(ids, below, position)
                total += (neurons @ pulled[position]).sum()
                rest = added[position] - neurons.sum(0)  # attention, and what is no neuron's
                total += rest @ pulled[position]
        total += constant(plainly, ids, layer) @ direction.double()
        push = plainly.run(ids).attention[layer] @ direction.double()
        assert total.item() == pytest.approx(push.item(), abs=2e-5)


@torch.no_grad()
def constant(plainly: Plainly, ids: tuple[int, ...], layer: int) -> Tensor:
    """[d] what attention adds whatever the stream: its biases and that of its norm."""
    shift = torch.zeros(len(ids), plainly.unembedding.shape[1]).double()
    if plainly.case.attention_norm is not None:
        norm = part(plainly.layers[layer], plainly.case.attention_norm)
        bias = getattr(norm, "bias", None)
        shift += 0 if bias is None else bias.double()
    pattern = plainly.patterns(ids)[layer][:, -1]  # [H, n]
    shifted = torch.einsum("hn,hde,ne->d", pattern, plainly.value_output(layer), shift)
    # Fed with zeros, attention says its biases, wherever it looks.
    hungry = plainly.copied()
    module = part(hungry.layers[layer], plainly.case.attention_out.rpartition(".")[0])

    def starve(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]):
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": torch.zeros_like(kwargs["hidden_states"])}
        return (torch.zeros_like(args[0]), *args[1:]), kwargs

    module.register_forward_pre_hook(starve, with_kwargs=True)
    out = hungry.attention_out(layer)
    biases = out(hungry.inputs_of(out, ids).float())[-1].double()
    return (shifted + biases) * plainly.attention_scale(ids, layer)


@few
def test_the_strongest_are_those_of_the_whole_table(model, plainly, whole, run, ids, direction):
    pulled = {
        layer: pulled_to_positions(model, whole, run, layer, direction) for layer in (0, 1, 2)
    }
    table = {}
    for position in range(len(ids)):
        for through in pulled:
            for layer in range(-1, through):
                vectors = (
                    plainly.stream(ids, 0)[position, None]
                    if layer < 0
                    else plainly.contributions(ids, layer, position)
                )
                heads = carried_by_heads(plainly, ids, through, position, vectors)
                for neuron, share in enumerate((heads.sum(1) @ direction.double()).tolist()):
                    table[layer, neuron, position, through] = share
    best: dict[tuple[int, int, int], tuple[float, int]] = {}
    for (layer, neuron, position, through), share in table.items():
        known = best.get((layer, neuron, position), (float("-inf"), -1))
        best[layer, neuron, position] = max(known, (share, through))
    wanted = sorted(best.items(), key=lambda item: -item[1][0])[:12]
    found = strongest_carried(model, whole, pulled, 12)
    assert found.carry.tolist() == pytest.approx([share for _, (share, _) in wanted], abs=1e-5)
    places = zip(found.layer.tolist(), found.neuron.tolist(), found.position.tolist(), strict=True)
    assert list(places) == [place for place, _ in wanted]
    assert found.through.tolist() == [through for _, (_, through) in wanted]
