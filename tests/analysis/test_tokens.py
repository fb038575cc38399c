"""Tokens as text, and prompts as tokens, under the three kinds of tokenizer in use."""

from __future__ import annotations

import pytest
from tiny import tokenizer as character_tokenizer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from analysis.errors import InputError
from analysis.model.tokens import encode, token_text
from analysis.tasks.prompts import Prompt

CONTEXT = 64
VOCABULARY = 1_000


def byte_level(*merges: tuple[str, str]) -> PreTrainedTokenizerFast:
    """Every byte, and some merges: the GPT-2 and Llama 3 kind."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = ["<|end|>", *alphabet, *("".join(pair) for pair in merges)]
    inner = Tokenizer(
        models.BPE({piece: place for place, piece in enumerate(pieces)}, list(merges))
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|end|>")


def sentencepiece(closes: bool = False) -> PreTrainedTokenizerFast:
    """Words behind ▁, a space in front of every text, BOS: the Llama 2 kind."""
    pieces = ["<unk>", "<s>", "</s>", "▁", "▁three", "▁3", "3", "5", "▁is", "+", "=", "▁=", "▁+"]
    merges = [("▁", "3"), ("▁", "="), ("▁", "+")]
    letters = sorted(set("three is"))
    vocabulary = {piece: place for place, piece in enumerate([*pieces, *letters])}
    for word in ("▁three", "▁is"):
        built = "▁"
        for letter in word[1:]:
            merges.append((built, letter))
            built += letter
            vocabulary.setdefault(built, len(vocabulary))
    inner = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>" if closes else "<s> $A",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def pieces(tokenizer: PreTrainedTokenizerFast, ids: tuple[int, ...]) -> list[str]:
    return tokenizer.convert_ids_to_tokens(list(ids))


def test_a_byte_level_token_reads_as_the_text_it_stands_for():
    tokenizer = byte_level(("Ġ", "t"), ("Ã", "©"))
    for piece, text in (("Ġt", " t"), ("Ċ", "\n"), ("Ã©", "é"), ("a", "a"), ("ĉ", "\t")):
        assert token_text(tokenizer, tokenizer.convert_tokens_to_ids(piece)) == text


def test_half_a_character_reads_as_its_bytes():
    tokenizer = byte_level(("Ġ", "Ã"))
    assert token_text(tokenizer, tokenizer.convert_tokens_to_ids("Ã")) == "<0xC3>"
    assert token_text(tokenizer, tokenizer.convert_tokens_to_ids("ĠÃ")) == " <0xC3>"


def test_every_byte_level_token_has_a_text_of_its_own():
    tokenizer = byte_level(("Ġ", "t"))
    texts = [token_text(tokenizer, token) for token in range(len(tokenizer))]
    assert len(set(texts)) == len(texts)
    assert all(texts)


def test_a_sentencepiece_token_keeps_its_leading_space():
    tokenizer = sentencepiece()
    for piece, text in (("▁three", " three"), ("3", "3"), ("▁", " "), ("<s>", "<s>")):
        assert token_text(tokenizer, tokenizer.convert_tokens_to_ids(piece)) == text


def test_a_number_beyond_the_vocabulary_has_a_text_too():
    """Unembeddings are often padded to a round size."""
    tokenizer = character_tokenizer(bos=False)
    assert token_text(tokenizer, len(tokenizer) + 5) == f"<{len(tokenizer) + 5}>"


def test_what_the_tokenizer_puts_in_front_is_kept_and_marked():
    encoded = encode(character_tokenizer(bos=True), Prompt(prompt="1 + 2"), CONTEXT, VOCABULARY)
    assert pieces(character_tokenizer(bos=True), encoded.ids) == ["<s>", "1", " ", "+", " ", "2"]
    assert encoded.special == {0}
    without = encode(character_tokenizer(bos=False), Prompt(prompt="1 + 2"), CONTEXT, VOCABULARY)
    assert without.ids == encoded.ids[1:]
    assert without.special == frozenset()


def test_what_the_tokenizer_would_put_behind_is_left_out():
    tokenizer = sentencepiece(closes=True)
    assert tokenizer("3")["input_ids"][-1] == tokenizer.eos_token_id
    encoded = encode(tokenizer, Prompt(prompt="3 ="), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, encoded.ids) == ["<s>", "▁3", "▁="]


def test_an_answer_is_what_follows_the_prompt_in_the_joint_text():
    tokenizer = character_tokenizer(bos=True)
    encoded = encode(tokenizer, Prompt(prompt="one", answer=" and 2"), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, encoded.answer_ids) == [" ", "and", " ", "2"]


def test_an_answer_of_a_sentencepiece_model_gets_no_space_piece_of_its_own():
    tokenizer = sentencepiece()
    encoded = encode(tokenizer, Prompt(prompt="3+5=", answer="3"), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, encoded.ids) == ["<s>", "▁3", "+", "5", "="]
    assert pieces(tokenizer, encoded.answer_ids) == ["3"]
    spaced = encode(tokenizer, Prompt(prompt="3+5 is", answer=" three"), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, spaced.answer_ids) == ["▁three"]


def test_where_a_token_crosses_the_border_the_answer_is_read_by_itself():
    tokenizer = character_tokenizer(bos=True)
    joint = tokenizer("tw" + "o", add_special_tokens=False)["input_ids"]
    assert pieces(tokenizer, joint) == ["two"]
    encoded = encode(tokenizer, Prompt(prompt="tw", answer="o"), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, encoded.ids) == ["<s>", "tw"]
    assert pieces(tokenizer, encoded.answer_ids) == ["o"]


def test_a_prompt_without_answer_has_no_answer_tokens():
    assert (
        encode(character_tokenizer(bos=False), Prompt(prompt="1"), CONTEXT, VOCABULARY).answer_ids
        == ()
    )


def test_prompt_and_answer_together_must_fit():
    tokenizer = character_tokenizer(bos=True)
    assert len(encode(tokenizer, Prompt(prompt="1" * 5, answer="22"), 8, VOCABULARY).ids) == 6
    with pytest.raises(InputError, match="the prompt has 7 tokens and its answer 2; the model"):
        encode(tokenizer, Prompt(prompt="1" * 6, answer="22"), 8, VOCABULARY)


TEMPLATE = (
    "{{ eos_token }}{% for m in messages %}{% if m.role == 'odd' %}"
    "{{ raise_exception('no role\nodd') }}{% endif %}[{{ m.role }}]{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[model]{% endif %}"
)


def chat(role: str, answer: str | None = None) -> Prompt:
    return Prompt(messages=({"role": role, "content": "3 is"},), answer=answer)


def test_a_chat_is_what_the_tokenizer_s_own_template_makes_of_it():
    tokenizer = byte_level()
    tokenizer.chat_template = TEMPLATE
    found = encode(tokenizer, chat("user", " 5"), CONTEXT, VOCABULARY)
    turns = [{"role": "user", "content": "3 is"}]
    wanted = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    assert list(found.ids) == wanted
    assert tokenizer.decode(found.ids).endswith("[model]")
    assert found.special == {0}
    assert pieces(tokenizer, found.answer_ids) == ["Ġ", "5"]


def test_a_chat_that_cannot_be_rendered_is_one_line():
    tokenizer = byte_level()
    with pytest.raises(InputError, match="the tokenizer has no chat template"):
        encode(tokenizer, chat("user"), CONTEXT, VOCABULARY)
    tokenizer.chat_template = TEMPLATE
    with pytest.raises(InputError, match="the chat template refuses these messages: no role odd"):
        encode(tokenizer, chat("odd"), CONTEXT, VOCABULARY)


def test_several_answers_are_one_token_each():
    tokenizer = byte_level(("Ġ", "8"))
    found = encode(tokenizer, Prompt(prompt="a", answer=("8", " 8", "9")), CONTEXT, VOCABULARY)
    assert pieces(tokenizer, found.first) == ["8", "Ġ8", "9"]
    with pytest.raises(InputError, match="answer 'no' is 2 tokens, 'n' 'o'; where there are"):
        encode(tokenizer, Prompt(prompt="a", answer=("8", "no")), CONTEXT, VOCABULARY)
