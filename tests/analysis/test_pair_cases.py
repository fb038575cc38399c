"""Cases of two prompts: what of them is refused, and how their tokens stand under each other."""

from __future__ import annotations

import pytest
from working import rows

from analysis.errors import InputError
from analysis.model.pairs import encode_pair, encode_pairs, strips
from analysis.model.passes import with_answers
from analysis.steps import AblateStep, EvaluateStep, HeadsStep
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


@pytest.mark.parametrize("metric", ["logit_difference", "prob"])
def test_a_sweep_is_ranked_by_its_metric_whose_slope_is_estimated(llama, plain_llama, metric):
    case = PAIR.model_copy(update={"answer": ("a", "e")})
    encoded = llama.encode(case)

    def plainly(plain):
        logits = plain._logits(encoded.ids)
        answers = logits[list(encoded.first)]
        if metric == "prob":
            return (answers.logsumexp(-1) - logits.logsumexp(-1)).exp().item()
        return (answers.mean() - logits[list(encoded.wrong)].mean()).item()

    step = HeadsStep(
        prompts=PromptSet(name="mine", prompts=(case,)),
        metric=None if metric == "logit_difference" else metric,
    )
    work = step.bound(llama)
    assert work.baseline["metric"] == step.ordered_by == metric
    before, part = plainly(plain_llama), 1e-2
    for row in work.estimates.to_dicts()[::4]:
        place = (row["layer"], row["head"])
        slope = (plainly(plain_llama.without_heads(place, share=part)) - before) / part
        assert row[metric] - work.baseline[metric] == pytest.approx(slope, rel=2e-2, abs=2e-3)
    ranked = step.ranked(rows(step, llama))
    assert ranked[metric].to_list() == sorted(ranked[metric])
    assert step.agreement(ranked, work.estimates) is not None


def test_a_metric_that_cases_cannot_be_measured_by_is_refused_and_accuracy_has_no_slope(llama):
    some = PromptSet(name="mine", prompts=(PAIR, Prompt(prompt="one", answer="b")))
    assert HeadsStep(prompts=some).ordered_by == "logprob"
    with pytest.raises(InputError, match="case 2 of mine has no wrong answer"):
        HeadsStep(prompts=some, metric="logit_difference").bound(llama)
    work = HeadsStep(prompts=some, metric="accuracy", heads=("L1H2",)).bound(llama)
    assert work.estimates is None
    assert work.baseline["metric"] == "accuracy"


def test_an_edit_is_measured_by_wrong_answers_where_cases_have_some(llama, plain_llama):
    some = PromptSet(name="mine", prompts=(Prompt(prompt="one", answer="b"), PAIR))
    step = EvaluateStep(edit=({"heads": ("L1H2",)},), prompts=some, controls=0)
    (row,) = rows(step, llama).filter(name="logit difference to wrong").to_dicts()
    encoded = llama.encode(PAIR)
    for side, plain in (("before", plain_llama), ("after", plain_llama.without_heads((1, 2)))):
        logits = plain._logits(encoded.ids)
        apart = logits[list(encoded.first)].mean() - logits[list(encoded.wrong)].mean()
        assert row[side] == pytest.approx(apart.item(), abs=1e-4)
    assert row["cases"] == 1
    alone = step.model_copy(update={"prompts": PromptSet(name="one", prompts=some.prompts[:1])})
    assert "logit difference to wrong" not in rows(alone, llama)["name"]
