"""A loaded model with its parts, tokenizer and identity: what every step runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.model.forward import LayerCall, intervening, layer_calls
from analysis.model.info import ModelInfo
from analysis.model.packing import PACK_NODES, Pack, pack
from analysis.model.parts import Norm, Parts
from analysis.model.rope import depends_on_length, frequencies_of
from analysis.model.tokens import Encoded, encode, fits, token_text
from analysis.tasks.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")


class Model:
    """A causal language model opened for analysis; `analysis.model.loading` opens one."""

    def __init__(
        self,
        hf: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        parts: Parts,
        info: ModelInfo,
    ) -> None:
        self.hf = hf
        self.tokenizer = tokenizer
        self.parts = parts
        self.info = info
        self._norms: dict[nn.Module, Norm] = {}
        self._known: dict[Callable[[Model], Any], Any] = {}
        self._changes: tuple[Intervention, ...] = ()
        self._hooks = ExitStack()
        self.token = lru_cache(maxsize=None)(self._token)

    @property
    def config(self) -> Any:
        """The text model's config."""
        return self.hf.config.get_text_config()

    @cached_property
    def behind(self) -> int:
        """How many tokens a run reads behind the last one that predicts an answer's token.

        1 where the sequence's length changes its positions: the answer is then scored in the
        sequence that prompt and answer make, as transformers would when given both.
        """
        return int(depends_on_length(self.config))

    @property
    def device(self) -> torch.device:
        """Where the first layer's input lives."""
        return next(self.parts.embedding.parameters()).device

    @cached_property
    def final_norm(self) -> Norm:
        """The norm before the unembedding."""
        return Norm.read(self.parts.final_norm, self.parts.width)

    def once(self, make: Callable[[Model], T]) -> T:
        """What `make` works out of the weights: done the first time, then kept."""
        if make not in self._known:
            self._known[make] = make(self)
        found: T = self._known[make]
        return found

    def forget(self) -> None:
        """Forget what was worked out of the weights."""
        self._norms.clear()
        self._known.clear()
        self.__dict__.pop("final_norm", None)

    @contextmanager
    def replaced_by(self, make: Callable[[PreTrainedModel], PreTrainedModel]) -> Iterator[None]:
        """Be another model of the same family while the block lasts, with the same changes.

        Args:
            make: makes it of this one, which it leaves as it is.
        """
        below = self.hf, self.parts
        try:
            self._hooks.close()  # a copy would take them along
            hf = make(self.hf)
            self._be(hf, Parts.find(hf, self.parts.family))
            yield
        finally:
            self._be(*below)

    def put(self, modules: Mapping[str, nn.Module]) -> None:
        """Put modules in the place of those at some paths of the Hugging Face model."""
        for path, module in modules.items():
            parent, _, name = path.rpartition(".")
            setattr(self.hf.get_submodule(parent), name, module)

    def _be(self, hf: PreTrainedModel, parts: Parts) -> None:
        self.hf, self.parts = hf, parts
        self.forget()
        self._change(self._changes)  # on the modules that are looked at now

    @contextmanager
    def changed(self, changes: Sequence[Intervention]) -> Iterator[None]:
        """Scale heads and neurons in every run while the block lasts; nothing is copied.

        Blocks inside one another add up.
        """
        before = self._changes
        self._change((*before, *changes))
        try:
            yield
        finally:
            self._change(before)

    def _change(self, changes: tuple[Intervention, ...]) -> None:
        self._hooks.close()
        self._changes = changes
        self._hooks.enter_context(intervening(self.parts, changes))

    def attention_norm(self, layer: int) -> Norm | None:
        """The norm before a layer's attention, where there is one."""
        return self._norm(self.parts.layers[layer].attention_norm)

    def attention_post_norm(self, layer: int) -> Norm | None:
        """The norm between a layer's attention and the residual stream, where there is one."""
        return self._norm(self.parts.layers[layer].attention_post_norm)

    def ffn_norm(self, layer: int) -> Norm | None:
        """The norm before a layer's FFN, where there is one."""
        return self._norm(self.parts.layers[layer].ffn_norm)

    def ffn_post_norm(self, layer: int) -> Norm | None:
        """The norm between a layer's FFN and the residual stream, where there is one."""
        return self._norm(self.parts.layers[layer].ffn_post_norm)

    def _norm(self, module: nn.Module | None) -> Norm | None:
        if module is None:
            return None
        if module not in self._norms:
            self._norms[module] = Norm.read(module, self.parts.width)
        return self._norms[module]

    def values(self, layer: int, neurons: Tensor | None = None) -> Tensor:
        """What neurons of a layer add to the residual per unit of coefficient [c, d] float32.

        The stored value times everything fixed on its way to the residual: the linear part of a
        norm behind the FFN and the residual multiplier. A norm's scale in a run comes on top.

        Args:
            layer: the layer.
            neurons: [c] indices of the neurons; None: all N.
        """
        values = self.parts.values(layer, neurons).float()
        norm = self.ffn_post_norm(layer)
        if norm is not None:
            values = norm.linear(values)
        if self.parts.residual_multiplier != 1.0:
            values = values * self.parts.residual_multiplier
        return values

    def encode(self, prompt: Prompt) -> Encoded:
        """Token ids of a prompt and its answer."""
        return encode(self.tokenizer, prompt, self.info.context, self.info.vocabulary)

    def fits(self, prompt: Prompt) -> bool:
        """Whether a case's answers are one token each, and its prompts as long as each other."""
        return fits(self.tokenizer, prompt)

    def _token(self, token_id: int) -> str:
        return token_text(self.tokenizer, token_id)

    def run(self, tokens: Tensor) -> tuple[list[LayerCall], Tensor]:
        """One clean pass over rows of tokens [B, n]: each layer's call, the final residual."""
        calls, final, _ = layer_calls(self.hf, self.parts, input_ids=tokens, logits_to_keep=1)
        return calls, final

    def packs(self, encoded: Sequence[Encoded]) -> Iterator[Pack]:
        """Prompts in sequences that give the same as each prompt alone."""
        limit = PACK_NODES.get(self.device.type, 1_024) if self.info.packed else 1
        window = self.parts.family.window_by_place
        if window is not None:
            limit = min(limit, getattr(self.config, window))
        return pack(
            encoded,
            limit,
            self.device,
            behind=self.behind,
            alike=partial(frequencies_of, self.config),
        )

    def run_packed(self, packed: Pack) -> tuple[list[LayerCall], Tensor]:
        """One clean pass over a pack, as one row of n nodes."""
        if packed.is_chain:
            return self.run(packed.tokens[None])
        calls, final, _ = layer_calls(
            self.hf,
            self.parts,
            input_ids=packed.tokens[None],
            position_ids=packed.depth[None],
            attention_mask=self._mask(packed),
            logits_to_keep=1,
        )
        return calls, final

    def _mask(self, packed: Pack) -> Any:
        """The mask in the form the model takes it: one tensor, or one for each kind of layer."""
        config = self.config
        dtype = self.hf.dtype
        window = getattr(config, "sliding_window", None)
        kinds = set(getattr(config, "layer_types", None) or ())
        if window is None or not getattr(config, "use_sliding_window", True):
            return packed.mask(dtype)
        if kinds == {"full_attention"}:
            return packed.mask(dtype)
        if len(kinds) > 1:
            return {
                kind: packed.mask(dtype, window if kind == "sliding_attention" else None)
                for kind in kinds
            }
        return packed.mask(dtype, window)

    def logits(self, residual: Tensor) -> Tensor:
        """The model's own logits [..., V] float32 for final residuals [..., d]."""
        normed = self.parts.final_norm(residual)
        logits: Tensor = self.parts.unembedding(normed).float() / self.parts.logit_divisor
        if self.parts.logit_softcap is not None:
            logits = self.parts.logit_softcap * torch.tanh(logits / self.parts.logit_softcap)
        return logits

    def require_editable(self) -> None:
        """Refuse to change weights that are not stored as plain floats; call it before an edit.

        Raises:
            InputError: they are 8- or 4-bit, say.
        """
        if self.info.weights is not None:
            raise InputError(
                f"{self.info.name}: its weights are {self.info.weights} and cannot be edited; "
                "load it in float32 without --bits, or the model that it was quantised from"
            )
