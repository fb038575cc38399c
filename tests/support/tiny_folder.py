"""A random Llama small enough to load in a moment, as a folder that `--model` takes."""

from __future__ import annotations

from pathlib import Path

LAYERS, HEADS, NEURONS, CONTEXT = 3, 4, 48, 128
HEADS_IN_ALL = LAYERS * HEADS
NEURONS_IN_ALL = LAYERS * NEURONS
VOCABULARY = 257
"""Every byte, and a token that begins each text."""


def write_tiny_model(folder: Path, seed: int = 0) -> Path:
    """Save a random Llama with grouped-query heads and a tokenizer of single bytes.

    Each character of ASCII text is one token, so `2 + 3 = ` has a token a digit.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<s>": 0} | {char: place for place, char in enumerate(alphabet, start=1)}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
    )
    PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>").save_pretrained(folder)

    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=NEURONS,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=0,
        eos_token_id=None,
        # Large enough that what the parts add to the stream differs visibly.
        initializer_range=0.3,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def write_tiny_adapter(model: Path, folder: Path, *targets: str) -> Path:
    """Save a random LoRA adapter for a tiny model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(model)
    wrapped = get_peft_model(hf, LoraConfig(r=2, lora_alpha=4, target_modules=[*targets]))
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    wrapped.save_pretrained(folder)
    return folder
