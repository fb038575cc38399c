"""Tokens as text, and prompts as tokens: what the model really reads."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from analysis.errors import InputError
from analysis.tasks.prompts import Message, Prompt, role_spans

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Encoded:
    """One prompt as token ids."""

    ids: tuple[int, ...]
    """What the model reads, special tokens included."""
    special: frozenset[int]
    """Positions in `ids` that the tokenizer added by itself (BOS), or the chat's template."""
    answer_ids: tuple[int, ...]
    """The answer's tokens after the prompt; empty when the answer is the top prediction."""
    others: tuple[int, ...] = ()
    """Where any of several answers counts as right: the tokens of all but the first."""
    wrong: tuple[int, ...] = ()
    """The first tokens of the wrong answers, where there are any."""

    @property
    def first(self) -> tuple[int, ...]:
        """What counts as right for the token behind the prompt."""
        return (*self.answer_ids[:1], *self.others)

    def read(self, behind: int = 0) -> tuple[int, ...]:
        """Ids to run for the answer's scores; `behind` more than those that predict a token."""
        return self.ids + self.answer_ids[: len(self.answer_ids) - 1 + behind]


def encode(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, context: int, vocabulary: int
) -> Encoded:
    """Tokenise a prompt and its answer the way the model's own tokenizer does.

    Raises:
        InputError: nothing is left to read, prompt and answer exceed `context` tokens or hold a
            token that is none of the model's `vocabulary`, several acceptable answers are not one
            token each, a wrong answer begins as the answer does, or there is no template for a
            chat.
    """
    text = rendered(tokenizer, prompt.messages) if prompt.messages else prompt.prompt
    plain = tuple(tokenizer(text, add_special_tokens=False).input_ids)
    if not plain:
        raise InputError("the prompt has no tokens; give the text the model should continue")
    if prompt.messages:  # the template has written the special tokens
        ids, known = plain, set(tokenizer.all_special_ids)
        special = frozenset(place for place, token in enumerate(plain) if token in known)
    else:
        before = _specials_before(tuple(tokenizer(text).input_ids), plain)
        ids, special = before + plain, frozenset(range(len(before)))
    answers = [_answer_ids(tokenizer, text, each) for each in prompt.answers]
    if len(answers) > 1:
        _check_single(tokenizer, prompt.answers, answers)
    answer, *others = answers or [()]
    if len(ids) + len(answer) > context:
        raise InputError(
            f"the prompt has {len(ids)} tokens and its answer {len(answer)}; "
            f"the model reads {context} at most"
        )
    distinct = dict.fromkeys(token for each in others for token in each if each != answer)
    wrong = dict.fromkeys(_answer_ids(tokenizer, text, each)[0] for each in prompt.wrongs)
    check_known(tokenizer, (*ids, *answer, *distinct, *wrong), vocabulary)
    encoded = Encoded(ids, special, answer, tuple(distinct), tuple(wrong))
    check_apart(tokenizer, encoded)
    return encoded


def roles_by_place(
    tokenizer: PreTrainedTokenizerBase, prompt: Prompt, encoded: Encoded
) -> dict[int, str]:
    """The roles that a case names, by the positions of the words that have them.

    Raises:
        InputError: a word stands nowhere in what the model reads.
    """
    text = rendered(tokenizer, prompt.messages) if prompt.messages else prompt.prompt
    try:
        named = role_spans(text, prompt.roles)
    except ValueError as error:
        raise InputError(str(error)) from error
    plain = tokenizer(text, add_special_tokens=False, return_offsets_mapping=bool(named))
    added = len(encoded.ids) - len(plain.input_ids)
    return {
        place: role
        for role, begin, end in named
        for place, (first, behind) in enumerate(plain.offset_mapping, start=added)
        if first < end and begin < behind
    }


def check_apart(tokenizer: PreTrainedTokenizerBase, encoded: Encoded) -> None:
    """Refuse a case whose answer and wrong answer begin with the same token.

    Raises:
        InputError: they do, so their logits never differ.
    """
    both = next((each for each in encoded.first if each in encoded.wrong), None)
    if both is not None:
        raise InputError(
            f"the answer and a wrong one begin with the same token, "
            f"{token_text(tokenizer, both)!r}, so that their logits cannot differ; give others"
        )


def fits(tokenizer: PreTrainedTokenizerBase, prompt: Prompt) -> bool:
    """Whether every answer and wrong answer of a case is one token, and both prompts are as long.

    A token that crosses the border between prompt and answer is none of the answer.
    """

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    before = ids(prompt.prompt)
    if prompt.corrupt is not None and len(ids(prompt.corrupt)) != len(before):
        return False
    behind = [ids(prompt.prompt + each) for each in (*prompt.answers, *prompt.wrongs)]
    return all(each[:-1] == before for each in behind)


def rendered(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> str:
    """A chat as the text that the model reads, up to where its answer begins.

    Raises:
        InputError: the tokenizer has no template, or the template refuses these messages.
    """
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise InputError("the tokenizer has no chat template; give a prompt instead of messages")
    turns = [{"role": each.role, "content": each.content} for each in messages]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except (TemplateError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"the chat template refuses these messages: {reason}") from error
    assert isinstance(text, str)
    return text


def _check_single(
    tokenizer: PreTrainedTokenizerBase, answers: Sequence[str], ids: Sequence[tuple[int, ...]]
) -> None:
    for answer, tokens in zip(answers, ids, strict=True):
        if len(tokens) > 1:
            strip = " ".join(repr(token_text(tokenizer, each)) for each in tokens)
            raise InputError(
                f"the acceptable answer {answer!r} is {len(tokens)} tokens, {strip}; where there "
                "are several each must be one token"
            )


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


def _answer_ids(tokenizer: PreTrainedTokenizerBase, text: str, answer: str) -> tuple[int, ...]:
    """Tokens of the answer as a continuation.

    Where the joint text starts with the prompt's own tokens the rest is the answer. Otherwise a
    token crosses the border, and the answer is read on its own behind a neutral line end, so that
    no tokenizer puts a space piece of its own in front.
    """
    before = tokenizer(text, add_special_tokens=False).input_ids
    joint = tokenizer(text + answer, add_special_tokens=False).input_ids
    if joint[: len(before)] == before and len(joint) > len(before):
        return tuple(joint[len(before) :])
    line = tokenizer("\n", add_special_tokens=False).input_ids
    behind = tokenizer("\n" + answer, add_special_tokens=False).input_ids
    if behind[: len(line)] == line and len(behind) > len(line):
        return tuple(behind[len(line) :])
    alone = tokenizer(answer, add_special_tokens=False).input_ids
    if not alone:
        raise InputError(f"the answer {answer!r} has no tokens")
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
