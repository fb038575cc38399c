"""The second opinion: every quantity by its definition, with nothing shared with `analysis`.

One prompt and one answer token at a time; no packing, no resuming, no bounds, no estimates.
Ablation edits the weights of a copy for real. Vectors are float64 once they leave the model.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers.models.falcon import modeling_falcon
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from tiny import TinyCase
    from transformers import PreTrainedModel

P = ParamSpec("P")
R = TypeVar("R")
Ids = tuple[int, ...]
Factors = dict[tuple[int, int], float]
"""By layer and head, or by layer and neuron."""


def part(root: nn.Module, path: str) -> nn.Module:
    """The module at an attribute path."""
    return root.get_submodule(path)


def matrix(module: nn.Module) -> Tensor:
    """The weight of a projection as [outputs, inputs]; writing to it changes the module."""
    return module.weight.T if isinstance(module, Conv1D) else module.weight


def kept(method: Callable[P, R]) -> Callable[P, R]:
    """Remembers what a method found for the same arguments: weights that change need a copy."""

    @wraps(method)
    def remembering(*given: P.args, **named: P.kwargs) -> R:
        self, *rest = given
        known = self._known  # type: ignore[attr-defined]
        key = (method.__name__, *rest, *named.items())
        if key not in known:
            known[key] = method(*given, **named)
        return known[key]

    return remembering


@contextmanager
def alibi_once() -> Iterator[None]:
    """Falcon's eager attention adds ALiBi to its scores and with its mask; its fused one does not.

    As it stands in transformers 5.23: half of it each time is what the model was trained with.
    """
    whole = modeling_falcon.build_alibi_tensor
    with patch.object(modeling_falcon, "build_alibi_tensor", lambda *a, **k: whole(*a, **k) / 2):
        yield


def log_softmax(logits: Tensor) -> Tensor:
    return logits - logits.exp().sum(-1, keepdim=True).log()


@dataclass(frozen=True)
class Run:
    """The last position of one run. L layers, N neurons."""

    entering: Tensor
    """[L, d]"""
    before_ffn: Tensor
    """[L, d] the residual without the layer's FFN, which was really taken out."""
    leaving: Tensor
    """[L, d]"""
    coefficients: Tensor
    """[L, N]"""

    @property
    def attention(self) -> Tensor:
        return self.before_ffn - self.entering

    @property
    def ffn(self) -> Tensor:
        return self.leaving - self.before_ffn


class Plainly:
    """A model and the plain computations on it."""

    def __init__(self, hf: PreTrainedModel, case: TinyCase) -> None:
        self.hf = hf
        self.case = case
        self.heads = hf.config.num_attention_heads
        self._known: dict[tuple[object, ...], object] = {}

    def copied(self) -> Plainly:
        """A copy whose weights may be edited."""
        return Plainly(copy.deepcopy(self.hf), self.case)

    @property
    def layers(self) -> nn.Module:
        return part(self.hf, self.case.layers)

    def attention_out(self, layer: int) -> nn.Module:
        return part(self.layers[layer], self.case.attention_out)

    def ffn_out(self, layer: int) -> nn.Module:
        return part(self.layers[layer], self.case.ffn_out)

    def head_columns(self, head: int) -> slice:
        width = matrix(self.attention_out(0)).shape[1] // self.heads
        return slice(head * width, (head + 1) * width)

    # Weights edited for real ---------------------------------------------------------------

    @torch.no_grad()
    def without_heads(
        self,
        *heads: tuple[int, int],
        means: dict[int, Tensor] | None = None,
        share: float = 1.0,
    ) -> Plainly:
        """A copy in which heads write nothing, or their mean [H · head] instead.

        With a `share` below 1 only that part of their output is taken away.
        """
        other = self.copied()
        for layer, head in heads:
            out = other.attention_out(layer)
            columns = other.head_columns(head)
            if means is not None:
                constant = share * matrix(out)[:, columns] @ means[layer][columns].float()
                bias = constant if out.bias is None else out.bias + constant
                out.bias = nn.Parameter(bias, requires_grad=False)
            matrix(out)[:, columns] *= 1 - share
        return other

    @torch.no_grad()
    def without_neurons(self, *neurons: tuple[int, int]) -> Plainly:
        """A copy in which neurons write nothing."""
        other = self.copied()
        for layer, neuron in neurons:
            matrix(other.ffn_out(layer))[:, neuron] = 0
        return other

    @torch.no_grad()
    def scaled(self, heads: Factors, neurons: Factors) -> Plainly:
        """A copy in which the columns of heads and neurons are multiplied by factors."""
        other = self.copied()
        for (layer, head), factor in heads.items():
            matrix(other.attention_out(layer))[:, other.head_columns(head)] *= factor
        for (layer, neuron), factor in neurons.items():
            matrix(other.ffn_out(layer))[:, neuron] *= factor
        return other

    @contextmanager
    def _without_ffn(self, layer: int) -> Iterator[None]:
        """In the block the layer's FFN writes nothing; the weights come back to the bit."""
        out = self.ffn_out(layer)
        written = [each for each in (out.weight, out.bias) if each is not None]
        kept = [each.detach().clone() for each in written]
        with torch.no_grad():
            for each in written:
                each.zero_()
            try:
                yield
            finally:
                for each, before in zip(written, kept, strict=True):
                    each.copy_(before)

    # Runs ----------------------------------------------------------------------------------

    @kept
    def logits(self, ids: Ids) -> Tensor:
        """[V] float64 after the last token."""
        return self._logits(ids)

    @torch.no_grad()
    def _logits(self, ids: Ids) -> Tensor:
        return self.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].double()

    def answered(self, ids: Ids, answer: Ids) -> tuple[float, bool]:
        """Log-probability of an answer, and whether each of its tokens is the first choice."""
        total, right = 0.0, True
        for place, token in enumerate(answer):
            logits = self.logits(ids + answer[:place])
            total += log_softmax(logits)[token].item()
            right = right and int(logits.argmax()) == token
        return total, right

    def greedy(self, ids: Ids, length: int) -> Ids:
        """The model's own continuation."""
        answer: Ids = ()
        for _ in range(length):
            answer = (*answer, int(self.logits(ids + answer).argmax()))
        return answer

    @torch.no_grad()
    def inputs_of(self, module: nn.Module, ids: Ids) -> Tensor:
        """[n, …] what enters a module in a run, float64."""
        seen: list[Tensor] = []
        hook = module.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        self._logits(ids)
        hook.remove()
        return seen[0].reshape(len(ids), -1).double()

    def head_means(self, texts: list[Ids]) -> dict[int, Tensor]:
        """Mean input [H · head] of every attention output projection over all tokens."""
        return {
            layer: torch.cat(
                [self.inputs_of(self.attention_out(layer), ids) for ids in texts]
            ).mean(0)
            for layer in range(len(self.layers))
        }

    @kept
    def stream(self, ids: Ids, layer: int) -> Tensor:
        """[n, d] the residual stream entering a layer, or the final norm behind the last one."""
        return self._stream(ids, layer)

    def _stream(self, ids: Ids, layer: int) -> Tensor:
        last = layer == len(self.layers)
        module = part(self.hf, self.case.final_norm) if last else self.layers[layer]
        seen: list[Tensor] = []

        def keep(_: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            seen.append(args[0] if args else kwargs["hidden_states"])

        hook = module.register_forward_pre_hook(keep, with_kwargs=True)
        self._logits(ids)
        hook.remove()
        return seen[0][0].double()

    @kept
    def run(self, ids: Ids) -> Run:
        """Residual stream and coefficients at the last position."""
        count = len(self.layers)
        stream = torch.stack([self.stream(ids, layer)[-1] for layer in range(count + 1)])
        before_ffn = []
        for layer in range(count):
            with self._without_ffn(layer):
                before_ffn.append(self._stream(ids, layer + 1)[-1])
        return Run(
            entering=stream[:-1],
            before_ffn=torch.stack(before_ffn),
            leaving=stream[1:],
            coefficients=torch.stack([self.coefficients(ids, layer)[-1] for layer in range(count)]),
        )

    # Readout -------------------------------------------------------------------------------

    def norm_weight(self, module: nn.Module) -> Tensor:
        """[d] float64; some classes store it less one."""
        stored = module.weight.double()
        return stored + 1 if "Gemma" in type(module).__name__ else stored

    def weighted(self, module: nn.Module, x: Tensor) -> Tensor:
        """Vectors x [..., d] times the weight of a norm; a LayerNorm takes their means away."""
        if isinstance(module, nn.LayerNorm):
            x = x - x.mean(-1, keepdim=True)
        return x * self.norm_weight(module)

    def norm_scale(self, module: nn.Module, x: Tensor) -> Tensor:
        """What a norm divides the spread of x [d] by, turned over."""
        epsilon = getattr(module, "eps", None) or module.variance_epsilon
        mean = x.mean() if isinstance(module, nn.LayerNorm) else torch.zeros(()).double()
        return 1 / ((x - mean).square().mean() + epsilon).sqrt()

    @cached_property
    def unembedding(self) -> Tensor:
        """[V, d]"""
        return self.hf.get_output_embeddings().weight.double()

    def readout(self, x: Tensor, frozen: Tensor) -> Tensor:
        """Logits [..., V] of x [..., d] with the final norm's spread taken from `frozen` [d]."""
        norm = part(self.hf, self.case.final_norm)
        normed = self.weighted(norm, x) * self.norm_scale(norm, frozen)
        if getattr(norm, "bias", None) is not None:
            normed = normed + norm.bias.double()
        logits = normed @ self.unembedding.T
        bias = self.hf.get_output_embeddings().bias
        if bias is not None:
            logits = logits + bias.double()
        logits = logits / self.case.logit_divisor
        cap = self.case.softcap
        return logits if cap is None else cap * (logits / cap).tanh()

    def direction(self, vector: Tensor, frozen: Tensor) -> Tensor:
        """What a vector [d] adds to the uncapped logits [V]."""
        norm = part(self.hf, self.case.final_norm)
        normed = self.weighted(norm, vector) * self.norm_scale(norm, frozen)
        return self.unembedding @ normed / self.case.logit_divisor

    # Neurons -------------------------------------------------------------------------------

    @kept
    def coefficients(self, ids: Ids, layer: int) -> Tensor:
        """[n, N] of the neurons of a layer."""
        return self.inputs_of(self.ffn_out(layer), ids)

    @kept
    def contributions(self, ids: Ids, layer: int, position: int = -1) -> Tensor:
        """[N, d] what each neuron of a layer adds to the residual stream."""
        down = self.ffn_out(layer)
        added = self.coefficients(ids, layer)[position][:, None] * matrix(down).T.double()
        if self.case.ffn_post_norm is not None:
            norm = part(self.layers[layer], self.case.ffn_post_norm)
            output = self.inputs_of(norm, ids)[position]
            added = self.weighted(norm, added) * self.norm_scale(norm, output)
        return added * self.case.residual_multiplier

    def importance(self, ids: Ids, token: int, frozen: Tensor) -> Tensor:
        """[L, N] by adding each neuron's vector to the residual stream and reading that out."""
        rows = []
        for layer, x in enumerate(self.run(ids).before_ffn):
            base = log_softmax(self.readout(x, frozen))[token]
            raised = self.readout(x + self.contributions(ids, layer), frozen)
            rows.append(log_softmax(raised)[:, token] - base)
        return torch.stack(rows)

    # Attention -----------------------------------------------------------------------------

    @kept
    def value_output(self, layer: int) -> Tensor:
        """[H, d, d] W_O W_V of every query head, as the matrices stand."""
        out = matrix(self.attention_out(layer)).double()
        value = self.case.value(self.layers[layer]).double()
        width = out.shape[1] // self.heads
        group = self.heads * width // value.shape[0]
        heads = []
        for head in range(self.heads):
            rows = slice(head // group * width, (head // group + 1) * width)
            heads.append(out[:, self.head_columns(head)] @ value[rows])
        return torch.stack(heads)

    # Slopes --------------------------------------------------------------------------------

    def slopes_of_heads(self, cases: list[tuple[Ids, Ids]]) -> Tensor:
        """[L, H] derivative of the mean answer log-probability by a scale on a head's columns."""
        scales = torch.ones(len(self.layers), self.heads, requires_grad=True)
        weights = {}
        for layer in range(len(self.layers)):
            out = self.attention_out(layer)
            width = matrix(out).shape[1] // self.heads
            weight = matrix(out) * scales[layer].repeat_interleave(width)
            path = f"{self.case.layers}.{layer}.{self.case.attention_out}.weight"
            weights[path] = weight.T if isinstance(out, Conv1D) else weight
        total = torch.zeros(())
        for ids, answer in cases:
            for place, token in enumerate(answer):
                tokens = torch.tensor([ids + answer[:place]])
                inputs = {"input_ids": tokens, "use_cache": False}
                output = torch.func.functional_call(self.hf, weights, kwargs=inputs)
                total = total + torch.log_softmax(output.logits[0, -1].float(), -1)[token]
        (total / len(cases)).backward()
        assert scales.grad is not None
        return scales.grad

    @kept
    def attention_scale(self, ids: Ids | None, layer: int) -> Tensor:
        """[d] what stands between an attention output projection and the residual stream.

        Without a run only what is fixed: a norm's weight, the residual multiplier.
        """
        factor = torch.full((self.unembedding.shape[1],), self.case.residual_multiplier).double()
        if self.case.attention_post_norm is None:
            return factor
        norm = part(self.layers[layer], self.case.attention_post_norm)
        factor = factor * self.norm_weight(norm)
        if ids is not None:
            factor = factor * self.norm_scale(norm, self.inputs_of(norm, ids)[-1])
        return factor

    def head_outputs(self, ids: Ids, layer: int) -> Tensor:
        """[H, d] what each head adds to the residual stream at the last position."""
        out = self.attention_out(layer)
        entering = self.inputs_of(out, ids)[-1]
        heads = [
            matrix(out).double()[:, columns] @ entering[columns]
            for columns in map(self.head_columns, range(self.heads))
        ]
        return torch.stack(heads) * self.attention_scale(ids, layer)

    @kept
    @torch.no_grad()
    def patterns(self, ids: Ids) -> list[Tensor]:
        """For each layer [H, n, n] how much each head attends where."""
        with alibi_once():
            return self._openly().patterns_of(ids)

    def _openly(self) -> Plainly:
        """A copy whose attention weights are seen."""
        other = self.copied()
        other.hf.config._attn_implementation = "eager"
        return other

    def patterns_of(self, ids: Ids) -> list[Tensor]:
        """Those of the model's own eager attention."""
        output = self.hf(input_ids=torch.tensor([ids]), use_cache=False, output_attentions=True)
        return [pattern[0].double() for pattern in output.attentions]

    @torch.no_grad()
    def values_written(self, ids: Ids) -> Tensor:
        """[L, H, n, d] what each head would write of each position alone: W_O v.

        Found backwards, in double precision: what enters an output projection is the sum of the
        values over the keys, as the weights say.
        """
        other = self._openly()
        other.hf.double()
        with alibi_once():
            patterns = other.patterns_of(ids)
            found = []
            for layer, weights in enumerate(patterns):
                out = other.attention_out(layer)
                entering = other.inputs_of(out, ids)
                for head, pattern in enumerate(weights):
                    columns = other.head_columns(head)
                    values = torch.linalg.solve_triangular(
                        pattern, entering[:, columns], upper=False
                    )
                    found.append(values @ matrix(out)[:, columns].T)
        return torch.stack(found).view(len(patterns), self.heads, len(ids), -1)

    def into_attention(self, ids: Ids, layer: int, position: int, vectors: Tensor) -> Tensor:
        """Vectors [..., d] of the stream as attention reads them at a position of a run."""
        if self.case.attention_norm is None:
            return vectors
        norm = part(self.layers[layer], self.case.attention_norm)
        scale = self.norm_scale(norm, self.stream(ids, layer)[position])
        return scale * self.weighted(norm, vectors)

    def bare_value(self, layer: int, neuron: int) -> Tensor:
        """[d] a neuron's column of the down projection, as a norm behind it would weight it."""
        value = matrix(self.ffn_out(layer))[:, neuron].double()
        if self.case.ffn_post_norm is not None:
            norm = part(self.layers[layer], self.case.ffn_post_norm)
            value = value * self.norm_weight(norm)
        return value * self.case.residual_multiplier

    def transformed(self, vector: Tensor, layer: int, ids: Ids | None = None) -> Tensor:
        """[d] a residual-stream vector through the value-output map of all heads of a layer."""
        if self.case.attention_norm is not None:
            norm = part(self.layers[layer], self.case.attention_norm)
            vector = self.weighted(norm, vector)
            if ids is not None:
                vector = vector * self.norm_scale(norm, self.stream(ids, layer)[-1])
        return self.value_output(layer).sum(0) @ vector * self.attention_scale(ids, layer)
