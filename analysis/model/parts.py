"""The parts of a loaded model, found through the family table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.model import weights
from analysis.model.families import Family

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def _find(root: nn.Module, paths: str) -> nn.Module:
    """The module that the first of some paths `a|b` leads to.

    Raises:
        AttributeError: none of them leads to one.
    """
    for path in paths.split("|"):
        module: object = root
        for name in path.split("."):
            module = getattr(module, name, None)
        if isinstance(module, nn.Module):
            return module
    raise AttributeError(f"{type(root).__name__} has no {paths.replace('|', ' or ')}")


_LONG, _SHORT = 1e4, 1e-3
"""Sizes of the vectors a norm is probed with."""


@dataclass(frozen=True)
class Norm:
    """A layer norm or RMS norm as plain numbers, whatever class implements it.

    `norm(x) = scale · linear(x) + bias` with `linear(x) = weight ⊙ (x − mean(x))`, where an RMS
    norm takes no mean away, and `scale = 1 / sqrt(mean((x − mean(x))²) + epsilon)`. Only the scale
    is not linear in x, so it alone is frozen where parts of a vector are looked at one by one.
    """

    weight: Tensor
    """[d] float32."""
    bias: Tensor
    """[d] float32, zero where there is none."""
    epsilon: float
    centred: bool

    @classmethod
    def read(cls, module: nn.Module, width: int) -> Norm:
        """Find the numbers by probing the module, in float32 whatever it is stored in.

        Weights are stored as w in some classes, as 1 + w in others and nowhere in a few, and the
        epsilon goes by several names; the answers to vectors of alternating signs, whose mean is
        0, and to a constant vector are the same in all of them.
        """
        parameter = next(module.parameters(), None)
        device = None if parameter is None else parameter.device
        stored = {name: value.float() for name, value in module.named_parameters()}
        signs = torch.ones(width, device=device)
        signs[1::2] = -1

        def answer(x: Tensor) -> Tensor:
            probed = torch.func.functional_call(module, stored, (x[None, None],))
            assert isinstance(probed, Tensor)
            return probed[0, 0].float()

        with torch.no_grad():
            # Long enough that the epsilon does not count, short enough that it does.
            plus, minus = answer(_LONG * signs), answer(-_LONG * signs)
            near = (answer(_SHORT * signs) - answer(-_SHORT * signs)) / 2 * signs
            flat = answer(_LONG * signs.abs())
        bias = (plus + minus) / 2
        weight = (plus - minus) / 2 * signs
        shrunk = (near * weight).sum() / weight.square().sum()
        epsilon = _SHORT**2 * (1 / shrunk.square() - 1).item()
        centred = bool((flat - bias).norm() < weight.norm() / 2)
        return cls(weight, bias, max(epsilon, 0.0), centred)

    def centre(self, x: Tensor) -> Tensor:
        """Vectors x [..., d] float32, each without its own mean where the norm takes it away."""
        x = x.float()
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def scale(self, x: Tensor) -> Tensor:
        """What the norm multiplies vectors x [..., d] by, from their spread: [..., 1] float32."""
        return torch.rsqrt(self.centre(x).square().mean(-1, keepdim=True) + self.epsilon)

    def linear(self, x: Tensor) -> Tensor:
        """The part of the norm that is linear: vectors x [..., d] centred and weighted, float32."""
        return self.centre(x) * self.weight

    def transposed(self, direction: Tensor) -> Tensor:
        """The transpose of `linear`: `direction · linear(x) = transposed(direction) · x`.

        Args:
            direction: [..., d] what normed vectors are measured along.
        """
        return self.centre(direction * self.weight)

    def of(self, x: Tensor) -> Tensor:
        """Vectors x [..., d] normed, each by its own statistics, float32."""
        return self.linear(x) * self.scale(x) + self.bias


@dataclass(frozen=True)
class Layer:
    """One decoder layer and the modules inside it that the analysis reads or hooks."""

    module: nn.Module
    attention: nn.Module
    attention_out: nn.Module
    ffn_out: nn.Module
    attention_norm: nn.Module | None
    attention_post_norm: nn.Module | None
    ffn_norm: nn.Module | None
    ffn_post_norm: nn.Module | None
    ffn_gate: nn.Module | None
    ffn_up: nn.Module | None
    ffn_gate_up: nn.Module | None

    @property
    def ffn_in(self) -> list[nn.Module]:
        """The FFN's first projections."""
        found = (self.ffn_gate, self.ffn_up, self.ffn_gate_up)
        return [module for module in found if module is not None]

    @property
    def ffn_reader(self) -> nn.Module:
        """The module whose input is the residual stream that the FFN reads."""
        return self.ffn_norm or self.ffn_in[0]

    @property
    def attention_writer(self) -> nn.Module:
        """The module whose output is what attention adds, short of the residual multiplier."""
        return self.attention_post_norm or self.attention_out

    @property
    def ffn_writer(self) -> nn.Module:
        """The module whose output is what the FFN adds, short of the residual multiplier."""
        return self.ffn_post_norm or self.ffn_out


@dataclass(frozen=True)
class Parts:
    """Every part of a model. Shapes: L layers, H query heads, N neurons, d width, V vocabulary."""

    family: Family
    layers: tuple[Layer, ...]
    final_norm: nn.Module
    unembedding: nn.Module
    embedding: nn.Module
    dtype: torch.dtype
    """What the modules take and compute in, however their weights are stored."""
    heads: int
    kv_heads: int
    residual_multiplier: float
    logit_divisor: float
    logit_softcap: float | None

    @classmethod
    def find(cls, model: PreTrainedModel, family: Family) -> Parts:
        """Walk the family's paths through a model.

        Raises:
            InputError: a path leads nowhere, or the config asks for another layout; names it.
        """
        text = model.config.get_text_config()
        _check_flags(text, family)

        def number(name: str | None, default: float) -> float:
            return float(getattr(text, name)) if name else default

        try:
            layers = tuple(
                _layer(module, family) for module in _find(model, family.layers).children()
            )
            softcap = getattr(text, family.logit_softcap, None) if family.logit_softcap else None
            heads = text.num_attention_heads
            found = cls(
                family=family,
                layers=layers,
                final_norm=_find(model, family.final_norm),
                unembedding=_find(model, family.unembedding),
                embedding=_find(model, family.embedding),
                dtype=model.dtype,
                heads=heads,
                # Falcon's config does not say it, its attention module does.
                kv_heads=getattr(layers[0].attention, "num_kv_heads", None)
                or getattr(text, "num_key_value_heads", None)
                or heads,
                residual_multiplier=number(family.residual_multiplier, 1.0),
                logit_divisor=number(family.logit_divisor, 1.0),
                logit_softcap=softcap,
            )
        except AttributeError as error:
            looked = ", ".join(
                (family.layers, family.attention_out, family.ffn_out, family.final_norm)
            )
            raise InputError(
                f"{type(model).__name__} does not have the layout of the {family.name} family "
                f"({error}); looked for {looked}"
            ) from error
        if found.width != text.hidden_size:
            raise InputError(
                f"{type(model).__name__} projects its residual stream of {text.hidden_size} to "
                f"{found.width} before the unembedding; such models are not supported"
            )
        return found

    @property
    def unembedding_weight(self) -> Tensor:
        """E_u [V, d], as stored."""
        return weights.columns(self.unembedding, self.dtype).T

    @property
    def unembedding_bias(self) -> Tensor | None:
        """[V], where the unembedding has one."""
        return weights.bias(self.unembedding)

    def ffn_bias(self, layer: int) -> Tensor | None:
        """[d] bias of a layer's down projection; it belongs to no neuron."""
        return weights.bias(self.layers[layer].ffn_out)

    @property
    def embedding_weight(self) -> Tensor:
        """[V, d] token embeddings, as stored."""
        return weights.columns(self.embedding, self.dtype).T

    @property
    def vocabulary(self) -> int:
        """V."""
        return weights.shape(self.unembedding)[0]

    @property
    def width(self) -> int:
        """d."""
        return weights.shape(self.unembedding)[1]

    @property
    def neurons(self) -> int:
        """N."""
        return weights.shape(self.layers[0].ffn_out)[1]

    @cached_property
    def head_width(self) -> int:
        """Entries of one head in the attention output projection's input."""
        return weights.shape(self.layers[0].attention_out)[1] // self.heads

    def attention_in(self, layer: int) -> list[list[nn.Module]]:
        """What makes queries, keys and values of a layer's normed input: modules in a row each.

        Raises:
            InputError: this model has none of that name.
        """
        module = self.layers[layer].module
        try:
            return [
                [_find(module, path) for path in paths.split()]
                for paths in self.family.attention_in
            ]
        except AttributeError as error:
            raise InputError(
                f"the queries, keys and values of layer {layer} are not where the "
                f"{self.family.name} family has them: {error}"
            ) from error

    def head_norm(self, layer: int, key: bool, index: int) -> nn.Module | None:
        """The norm of one head's query, or of one key/value head's key; None: there is none."""
        paths = self.family.head_norms
        try:
            norm = _find(self.layers[layer].module, paths[key]) if paths else None
        except AttributeError:
            return None  # models of the family may be without
        each = getattr(norm, "norms", None)  # StableLM's: one a head
        return norm if each is None else each[index]

    def values(self, layer: int, neurons: Tensor | None = None) -> Tensor:
        """Values of neurons, as stored: columns of the down projection as rows [c, d].

        Args:
            layer: their layer.
            neurons: [c] their indices; None: all N.
        """
        return weights.columns(self.layers[layer].ffn_out, self.dtype, neurons)

    def head_slice(self, head: int) -> slice:
        """Where a query head stands in the attention output projection's input."""
        return slice(head * self.head_width, (head + 1) * self.head_width)


def _check_flags(config: object, family: Family) -> None:
    """Raise InputError where the config asks for a layout the family's row does not describe."""
    for flags, wanted in ((family.must_be_set, True), (family.must_not_be_set, False)):
        for flag in flags:
            value = getattr(config, flag, wanted)
            if bool(value) != wanted:
                raise InputError(f"{family.name} models with {flag}={value} are not supported")


def _layer(module: nn.Module, family: Family) -> Layer:
    def find(path: str | None) -> nn.Module | None:
        return _find(module, path) if path else None

    return Layer(
        module=module,
        attention=_find(module, family.attention),
        attention_out=_find(module, family.attention_out),
        ffn_out=_find(module, family.ffn_out),
        attention_norm=find(family.attention_norm),
        attention_post_norm=find(family.attention_post_norm),
        ffn_norm=find(family.ffn_norm),
        ffn_post_norm=find(family.ffn_post_norm),
        ffn_gate=find(family.ffn_gate),
        ffn_up=find(family.ffn_up),
        ffn_gate_up=find(family.ffn_gate_up),
    )
