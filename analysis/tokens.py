"""Tokens as text, and prompts as tokens: what the model really reads."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from analysis.errors import InputError
from analysis.prompts import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt as token ids."""

    ids: tuple[int, ...]
    """What the model reads, special tokens included."""
    special: frozenset[int]
    """Positions in `ids` that the tokenizer added by itself (BOS)."""
    answer_ids: tuple[int, ...]
    """The answer's tokens after the prompt; empty when the answer is the top prediction."""

    def read(self, behind: int = 0) -> tuple[int, ...]:
        """Ids to run for the answer's scores; `behind` more than those that predict a token."""
        return self.ids + self.answer_ids[: len(self.answer_ids) - 1 + behind]


def encode(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, context: int, vocabulary: int
) -> Encoded:
    """Tokenise a prompt and its answer the way the model's own tokenizer does.

    Raises:
        InputError: nothing is left to read, prompt and answer exceed `context` tokens, or hold a
            token that is none of the model's `vocabulary`.
    """
    plain = tuple(tokenizer(prompt.prompt, add_special_tokens=False).input_ids)
    if not plain:
        raise InputError("the prompt has no tokens; give the text the model should continue")
    before = _specials_before(tuple(tokenizer(prompt.prompt).input_ids), plain)
    ids = before + plain
    special = frozenset(range(len(before)))
    answer = _answer_ids(tokenizer, prompt) if prompt.answer is not None else ()
    if len(ids) + len(answer) > context:
        raise InputError(
            f"the prompt has {len(ids)} tokens and its answer {len(answer)}; "
            f"the model reads {context} at most"
        )
    check_known(tokenizer, (*ids, *answer), vocabulary)
    return Encoded(ids, special, answer)


def check_known(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int], vocabulary: int) -> None:
    """Refuse tokens beyond the model's embedding.

    Raises:
        InputError: there is one; a tokenizer that was added to has more tokens than the model.
    """
    beyond = next((each for each in ids if each >= vocabulary), None)
    if beyond is not None:
        raise InputError(
            f"{token_text(tokenizer, beyond)!r} is token {beyond} of the tokenizer, the model has "
            f"{vocabulary}: leave it out, or resize the model's embedding"
        )


def _specials_before(full: tuple[int, ...], plain: tuple[int, ...]) -> tuple[int, ...]:
    """What the tokenizer puts before a text. What it would put behind would close the text."""
    for start in range(len(full) - len(plain) + 1):
        if full[start : start + len(plain)] == plain:
            return full[:start]
    return ()


def _answer_ids(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> tuple[int, ...]:
    """Tokens of the answer as a continuation.

    Where the joint text starts with the prompt's own tokens the rest is the answer. Otherwise a
    token crosses the border, and the answer is read on its own behind a neutral line end, so that
    no tokenizer puts a space piece of its own in front.
    """
    assert prompt.answer is not None
    before = tokenizer(prompt.prompt, add_special_tokens=False).input_ids
    joint = tokenizer(prompt.prompt + prompt.answer, add_special_tokens=False).input_ids
    if joint[: len(before)] == before and len(joint) > len(before):
        return tuple(joint[len(before) :])
    line = tokenizer("\n", add_special_tokens=False).input_ids
    behind = tokenizer("\n" + prompt.answer, add_special_tokens=False).input_ids
    if behind[: len(line)] == line and len(behind) > len(line):
        return tuple(behind[len(line) :])
    alone = tokenizer(prompt.answer, add_special_tokens=False).input_ids
    if not alone:
        raise InputError(f"the answer {prompt.answer!r} has no tokens")
    return tuple(alone)


def _byte_names(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    broken = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in broken), error.end


codecs.register_error("byte-names", _byte_names)


@lru_cache(maxsize=1)
def _byte_of() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character; this maps them back."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + place): byte for place, byte in enumerate(others)}


def token_text(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """The text one token stands for, leading space kept.

    Bytes that are only part of a UTF-8 character read as `<0xE2><0x80>`.
    """
    piece = tokenizer.convert_ids_to_tokens(token_id)
    if piece is None:
        return f"<{token_id}>"
    if token_id in tokenizer.all_special_ids:
        return str(piece)
    if "▁" in piece:
        return str(piece).replace("▁", " ")
    table = _byte_of()
    if _byte_level(tokenizer) and all(char in table for char in piece):
        return bytes(table[char] for char in piece).decode("utf-8", errors="byte-names")
    return str(piece)


@lru_cache(maxsize=8)
def _byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the vocabulary is written in the byte-level alphabet, where Ġ is the space."""
    return tokenizer.convert_tokens_to_ids("Ġ") not in (None, tokenizer.unk_token_id)
