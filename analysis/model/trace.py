"""One run at its last position: what every layer's parts added to the residual stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from analysis.interventions import Intervention
from analysis.model.forward import after, before, intervening
from analysis.model.parts import Norm
from analysis.model.readout import Readout

if TYPE_CHECKING:
    from analysis.model.model import Model


@dataclass(frozen=True)
class Trace:
    """Residual stream and its additions at the last position, float32. L layers, N neurons."""

    entering: Tensor
    """[L, d] `x^{l-1}`."""
    leaving: Tensor
    """[L, d] `x^l`."""
    attention: Tensor
    """[L, d] `A^l`, as added to the residual stream."""
    ffn: Tensor
    """[L, d] `F^l`, as added to the residual stream."""
    coefficients: Tensor
    """[L, N] what enters the down projection."""
    scales: Tensor
    """[L] scale of the norm behind the FFN in this run, 1 where there is none."""
    attention_scales: Tensor
    """[L] the same of the norm behind attention."""
    final: Tensor
    """[d] residual stream before the final norm."""

    def before_ffn(self, layer: int) -> Tensor:
        """`x^l − F^l` [d]: the residual without the FFN's contribution."""
        return self.leaving[layer] - self.ffn[layer]

    def freeze(self, model: Model) -> Readout:
        """The readout with this run's spread before the final norm."""
        return Readout.freeze(model.parts, model.final_norm, self.final)

    def contribution_sum(self, model: Model, layer: int) -> Tensor:
        """All neurons' contributions plus what belongs to none, [d]; equals `F^l`."""
        total = (self.coefficients[layer] * self.scales[layer]) @ model.values(layer)
        return total + self.ffn_rest(model, layer)

    def ffn_rest(self, model: Model, layer: int) -> Tensor:
        """What of `F^l` belongs to no neuron, [d]: biases of the FFN and of a norm behind it."""
        bias = model.parts.ffn_bias(layer)
        norm = model.ffn_post_norm(layer)
        rest = torch.zeros_like(self.ffn[layer]) if bias is None else bias.float()
        if norm is not None:
            rest = norm.linear(rest) * self.scales[layer] + norm.bias
        return rest * model.parts.residual_multiplier


@torch.no_grad()
def trace(model: Model, ids: Sequence[int], interventions: Sequence[Intervention] = ()) -> Trace:
    """Run the model on one prompt and keep the last position of everything."""
    parts = model.parts
    layers = range(len(parts.layers))
    attention: list[Tensor] = []
    ffn: list[Tensor] = []
    coefficients: list[Tensor] = []

    def last_position(store: list[Tensor]) -> Callable[[Tensor], None]:
        # A copy: some families add to the tensor in place, some flatten rows and positions.
        return lambda x: store.append(
            x.reshape(-1, x.shape[-1])[-1].to(model.device, torch.float32, copy=True)
        )

    # Reading a norm runs it, so it is done before anything listens.
    ffn_norms = [model.ffn_post_norm(number) for number in layers]
    attention_norms = [model.attention_post_norm(number) for number in layers]
    ffn_outputs: list[Tensor] = []
    attention_outputs: list[Tensor] = []
    with intervening(parts, interventions), ExitStack() as stack:
        # Hooks run in the order they are registered: coefficients are read after interventions.
        for layer in parts.layers:
            for module, see in (
                (layer.attention_out, attention_outputs),
                (layer.attention_post_norm or layer.attention_out, attention),
                (layer.ffn_out, ffn_outputs),
                (layer.ffn_post_norm or layer.ffn_out, ffn),
            ):
                stack.enter_context(after(module, last_position(see)))
            stack.enter_context(before(layer.ffn_out, last_position(coefficients)))
        calls, final = model.run(torch.tensor([list(ids)], device=model.device))

    last = final[0, -1].float().to(model.device)
    entering = torch.stack([call.entering[0, -1].float().to(model.device) for call in calls])
    return Trace(
        entering=entering,
        leaving=torch.cat([entering[1:], last[None]]),
        attention=torch.stack(attention) * parts.residual_multiplier,
        ffn=torch.stack(ffn) * parts.residual_multiplier,
        coefficients=torch.stack(coefficients),
        scales=_scales(ffn_norms, ffn_outputs),
        attention_scales=_scales(attention_norms, attention_outputs),
        final=last,
    )


def _scales(norms: Sequence[Norm | None], outputs: Sequence[Tensor]) -> Tensor:
    """[L] scale each norm takes from what it reads [d], 1 where there is no norm."""
    one = torch.ones(1, device=outputs[0].device)
    pairs = zip(norms, outputs, strict=True)
    return torch.cat([one if norm is None else norm.scale(x) for norm, x in pairs])
