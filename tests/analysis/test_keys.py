"""Keys of neurons, against steps really taken in the stream."""

from __future__ import annotations

import pytest
import torch
from plainly import Plainly, part

from analysis.methods.directions import keys_in_call, reads_its_attention

NEURONS = (0, 5, 23)


def stepped(plainly: Plainly, ids: tuple[int, ...], layer: int, step: torch.Tensor) -> torch.Tensor:
    """Coefficients [N] at the last position with a step [d] behind the frozen FFN norm."""

    def hook(module: torch.nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        x = args[0].clone()
        x.view(-1, x.shape[-1])[-1] += step
        return (x,)

    modules = [part(plainly.layers[layer], path) for path in plainly.case.ffn_in]
    handles = [module.register_forward_pre_hook(hook) for module in modules]
    try:
        return plainly.inputs_of(plainly.ffn_out(layer), ids)[-1]
    finally:
        for handle in handles:
            handle.remove()


def test_a_key_in_a_run_is_the_slope_of_the_coefficient_along_the_stream(model, plainly, ids):
    precise = plainly.copied()
    precise.hf.double()
    for layer in range(model.info.layers):
        direction = torch.randn(
            model.info.width, generator=torch.Generator().manual_seed(layer)
        ).double()
        step = 1e-5 * direction
        if plainly.case.ffn_norm is not None:
            norm = part(plainly.layers[layer], plainly.case.ffn_norm)
            read = plainly.inputs_of(norm, ids)[-1]
            step = plainly.weighted(norm, step) * plainly.norm_scale(norm, read)
        slope = (stepped(precise, ids, layer, step) - stepped(precise, ids, layer, -step)) / 2e-5
        calls, _ = model.run(torch.tensor([ids]))
        for neuron, key in zip(
            NEURONS, keys_in_call(model, calls[layer], layer, NEURONS).double(), strict=True
        ):
            assert key @ direction == pytest.approx(slope[neuron].item(), rel=1e-4, abs=1e-4)


def test_it_is_known_whether_the_ffn_reads_the_attention_of_its_own_layer(model, plainly, ids):
    with torch.no_grad():
        calls, _ = model.run(torch.tensor([ids]))
    for layer in range(model.info.layers):
        silent = plainly.copied()
        out = silent.attention_out(layer)
        out.weight.data.zero_()
        coefficients = [each.inputs_of(each.ffn_out(layer), ids) for each in (plainly, silent)]
        changed = not torch.equal(*coefficients)
        assert reads_its_attention(model, calls[layer], layer) is changed
