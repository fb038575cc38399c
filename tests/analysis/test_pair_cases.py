"""Cases of two prompts: what of them is refused, and how their tokens stand under each other."""

from __future__ import annotations

import pytest
from working import rows

from analysis.errors import InputError
from analysis.model.pairs import encode_pair, encode_pairs, strips
from analysis.model.passes import with_answers
from analysis.steps import AblateStep, HeadsStep
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.strips import UnequalPrompts

PAIR = Prompt(prompt="one and abc", corrupt="one and xyz", answer="a", wrong=("b", "c"))


def test_both_sides_of_a_pair_are_read_with_one_answer(llama):
    clean, corrupt = encode_pair(llama, PAIR)
    assert len(clean.ids) == len(corrupt.ids)
    assert clean.ids[:-3] == corrupt.ids[:-3]
    assert (clean.first, clean.wrong) == (corrupt.first, corrupt.wrong)
    assert list(map(llama.token, clean.wrong)) == ["b", "c"]
    found = strips(llama, PAIR)
    assert found.equally_long
    assert found.first == len(clean.ids) - 3
    assert "".join(found.corrupt).endswith("xyz")


def test_prompts_of_unequal_length_show_where_they_part(llama):
    longer = PAIR.model_copy(update={"corrupt": "one and vwxyz"})
    with pytest.raises(UnequalPrompts, match="has 7 tokens and the corrupt prompt 9") as refused:
        encode_pairs(llama, PromptSet(name="mine", prompts=(PAIR, longer)))
    assert str(refused.value).startswith("case 2 of mine: the prompt has ")
    assert refused.value.strips == strips(llama, longer)
    assert (refused.value.strips.first, refused.value.strips.differing[-1]) == (4, 8)


def test_a_case_without_a_corrupt_prompt_is_no_pair(llama):
    with pytest.raises(InputError, match="there is no corrupt prompt"):
        encode_pair(llama, Prompt(prompt="one"))


def test_the_top_prediction_is_no_wrong_answer(llama):
    (top,) = with_answers(llama, [Prompt(prompt="2 + 3 = ")])
    says = llama.token(top.answer_ids[0])
    with pytest.raises(InputError, match="begin with the same token"):
        with_answers(llama, [Prompt(prompt="2 + 3 = ", wrong=says)])


def test_the_json_of_a_case_of_one_side_says_nothing_of_another():
    assert set(Prompt(prompt="a").model_dump()) == {"prompt", "answer", "group", "marks"}
    assert Prompt.model_validate_json(PAIR.model_dump_json()) == PAIR


def test_the_logit_difference_stands_beside_the_other_measures_of_a_sweep(llama, plain_llama):
    alone = Prompt(prompt="one and ", answer="a")
    prompts = PromptSet(name="mine", prompts=(alone, PAIR))
    encoded = with_answers(llama, [PAIR])[0]

    def plainly(plain):
        logits = plain._logits(encoded.ids)
        return float(logits[list(encoded.first)].mean() - logits[list(encoded.wrong)].mean())

    step = HeadsStep(prompts=prompts, heads=("L1H2",))
    assert step.bound(llama).baseline["logit_difference"] == pytest.approx(
        plainly(plain_llama), abs=1e-4
    )
    without = plainly(plain_llama.without_heads((1, 2)))
    for each in (step, AblateStep(prompts=prompts, sets=({"heads": ("L1H2",)},))):
        (row,) = rows(each, llama).rows(named=True)
        assert row["logit_difference"] == pytest.approx(without, abs=1e-4)
        assert row["prompt_logit_difference"] == pytest.approx([None, without], abs=1e-4)
        assert "logit_difference" in {column.name for column in each.filled}
    alone_step = HeadsStep(prompts=PromptSet(name="one", prompts=(alone,)), heads=("L1H2",))
    assert "logit_difference" not in {column.name for column in alone_step.filled}
    assert "logit_difference" not in alone_step.bound(llama).baseline
