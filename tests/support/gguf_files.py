"""What the tests that write GGUF files share."""

from __future__ import annotations

from transformers.convert_slow_tokenizer import bytes_to_unicode

TOKENS = [*sorted(bytes_to_unicode().values()), "ab", "<end>"]
"""The 256 byte letters of GPT-2's vocabulary, one merged pair and one end mark."""
