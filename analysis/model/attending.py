"""Attention weights of single layers, computed in the open: fused kernels never hold them.

A layer is called again as a clean run called it, with the eager implementation that every family
of transformers has. Nothing else of the model changes, and nothing is patched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from analysis.errors import InputError

if TYPE_CHECKING:
    from analysis.model.forward import LayerCall
    from analysis.model.model import Model

SAME = 1e-3
"""How far outputs of the same layer may be apart in float32, relative to their length."""


@dataclass(frozen=True)
class LayerAttention:
    """What a layer's attention did in one run."""

    weights: Tensor
    """[B, H, n, n] float32, query × key."""
    read: Tensor
    """[B, n, d] what it read: the residual stream behind its norm."""


@torch.no_grad()
def attended(model: Model, call: LayerCall, layer: int, leaving: Tensor) -> LayerAttention:
    """How much each head of a layer attended to which key in a clean run.

    Args:
        model: the model.
        call: how the run called the layer.
        layer: the layer's number.
        leaving: [B, n, d] what left the layer in that run.

    Raises:
        InputError: the family gives no weights, or with them the layer puts out something else.
    """
    found: list[LayerAttention] = []
    with attending_openly(model, layer, found.append):
        again = call.again(call.entering)
    check_same(model, again, leaving)
    return found[0]


def check_same(model: Model, opened: Tensor, usual: Tensor) -> None:
    """Refuse weights that are not those which the model used.

    Raises:
        InputError: with the weights computed in the open something else comes out.
    """
    usual = usual.float()
    apart = ((opened.to(usual) - usual).norm() / usual.norm()).item()
    if not apart <= (SAME if model.hf.dtype == torch.float32 else 100 * SAME):
        raise InputError(
            f"{model.info.name}: the attention weights of this model cannot be read; computed in "
            f"the open they lead to another result (apart by {apart:.1%})"
        )


@contextmanager
def attending_openly(
    model: Model, layer: int, see: Callable[[LayerAttention], object]
) -> Iterator[None]:
    """Show what a layer's attention does to `see` while the block runs."""
    config, attention = model.hf.config, model.parts.layers[layer].attention
    usual = config._attn_implementation
    read: list[Tensor] = []

    def begin(
        module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        read[:] = [kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]]
        # Not by `set_attn_implementation`, which refuses Falcon; its modules look here too.
        config._attn_implementation = "eager"
        return args, kwargs if usual == "eager" else _as_eager_takes(read[0], kwargs)

    def end(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        config._attn_implementation = usual
        shown = output[1] if isinstance(output, tuple) and len(output) > 1 else None
        if not isinstance(shown, Tensor) or shown.dim() != 4:
            raise InputError(
                f"{model.info.name}: attention of the {model.info.family} family gives no weights"
            )
        see(LayerAttention(shown.float(), read[0]))

    with ExitStack() as stack:
        stack.callback(setattr, config, "_attn_implementation", usual)
        stack.callback(attention.register_forward_pre_hook(begin, with_kwargs=True).remove)
        stack.callback(attention.register_forward_hook(end).remove)
        yield


def _as_eager_takes(hidden: Tensor, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a fused call for the eager one, which adds its mask to the scores."""
    mask, count = kwargs.get("attention_mask"), hidden.shape[1]
    if mask is None:  # fused kernels know the plain causal mask themselves
        mask = torch.ones(count, count, dtype=torch.bool, device=hidden.device).tril()[None, None]
    if mask.dtype == torch.bool:
        barred = torch.finfo(hidden.dtype).min
        mask = torch.zeros_like(mask, dtype=hidden.dtype).masked_fill_(~mask, barred)
    taken = {**kwargs, "attention_mask": mask}
    if isinstance(alibi := kwargs.get("alibi"), Tensor):
        taken["alibi"] = torch.zeros_like(alibi)  # the mask of a fused kernel holds it already
    return taken
