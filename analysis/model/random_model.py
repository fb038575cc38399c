"""Models of known shapes with random weights: to measure speed and memory without a download.

Nothing they say means anything. torch and transformers are imported when a model is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from analysis.errors import InputError

if TYPE_CHECKING:
    from transformers import LlamaConfig, PreTrainedTokenizerBase

    from analysis.model.model import Model


CONTEXT = 2_048
"""Longest sequence in tokens, whatever the shape."""
_BOS = "<s>"


@dataclass(frozen=True)
class Shape:
    """The sizes of a Llama."""

    layers: int
    heads: int
    width: int
    neurons: int
    """FFN neurons a layer."""
    vocabulary: int
    spread: float = 0.02
    """Standard deviation of the weights."""

    @property
    def parameters(self) -> int:
        """How many weights such a Llama has."""
        layer = 4 * self.width**2 + 3 * self.width * self.neurons + 2 * self.width
        return 2 * self.vocabulary * self.width + self.layers * layer + self.width

    def config(self) -> LlamaConfig:
        """The config of such a Llama."""
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.width,
            intermediate_size=self.neurons,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            max_position_embeddings=CONTEXT,
            bos_token_id=0,
            eos_token_id=None,
            initializer_range=self.spread,
        )


SHAPES = {
    "llama-7b": Shape(layers=32, heads=32, width=4_096, neurons=11_008, vocabulary=32_000),
    "llama-small": Shape(
        layers=6, heads=8, width=256, neurons=1_024, vocabulary=8_192, spread=0.06
    ),
    # Weights so large that what the parts of so narrow a model add differs visibly.
    "llama-tiny": Shape(layers=3, heads=4, width=32, neurons=64, vocabulary=320, spread=0.3),
}


def shape_of(name: str) -> Shape:
    """The shape called so.

    Raises:
        InputError: there is none.
    """
    if name not in SHAPES:
        raise InputError(f"unknown shape {name!r}; choose {' or '.join(SHAPES)}")
    return SHAPES[name]


def random_model(
    name: str,
    *,
    neurons: int | None = None,
    dtype: str = "float32",
    device: str = "auto",
    seed: int = 0,
) -> Model:
    """Make a Llama of a known shape, its weights drawn on the device in the dtype, and open it.

    Args:
        name: one of `SHAPES`.
        neurons: FFN neurons a layer, where they are to differ from the shape's.
        dtype: one of `analysis.model.loading.DTYPES`.
        device: `auto` (a GPU where there is one), or a torch device.
        seed: of the weights.

    Raises:
        InputError: the shape, dtype or device cannot be used.
    """
    shape = shape_of(name)
    if neurons is not None:
        shape = replace(shape, neurons=neurons)
    import torch
    from transformers import AutoModelForCausalLM

    from analysis.model.loading import DTYPES, open_model, usable_device

    if dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}; choose {', '.join(DTYPES)}")
    place = usable_device(device)
    with torch.random.fork_rng(), torch.device(place):
        torch.manual_seed(seed)
        hf = AutoModelForCausalLM.from_config(shape.config(), dtype=DTYPES[dtype])
    hf.train(False)
    hf.requires_grad_(False)
    return open_model(hf, byte_tokenizer(), name=f"random {name}", source="random weights")


def byte_tokenizer() -> PreTrainedTokenizerBase:
    """A tokenizer with a token for each byte, and one that begins each text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: place for place, piece in enumerate([_BOS, *alphabet])}
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A", special_tokens=[(_BOS, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=_BOS)
