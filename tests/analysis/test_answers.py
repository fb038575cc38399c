"""Answers of several spellings, how an answer stands, and cases that can show nothing."""

from __future__ import annotations

import polars as pl
import pytest
import torch

from analysis.methods.spelling import otherwise_spelt, standing
from analysis.model.trace import trace
from analysis.steps import CnaStep, EvaluateStep, HeadsStep, LensStep, NeuronsStep
from analysis.tasks.answers import LIKELIER, doubt
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.texts import Text

TEXT = "one two"
SET = ("a", "b", "q")


def chances(model, text: str) -> torch.Tensor:
    """[V] what plain transformers says behind a text."""
    ids = torch.tensor([model.tokenizer(text).input_ids])
    with torch.no_grad():
        return torch.softmax(model.hf(ids).logits[0, -1].double(), -1)


def token(model, text: str) -> int:
    (one,) = model.tokenizer(text, add_special_tokens=False).input_ids
    return one


def rows(step, model) -> pl.DataFrame:
    return step.ranked(pl.concat(list(step.run(model))))


def case(answer) -> Prompt:
    return Prompt(prompt=TEXT, answer=answer)


def test_the_probability_of_several_answers_is_the_sum_of_theirs(tiny_model):
    def swept(answer):
        step = HeadsStep(prompts=PromptSet(name="mine", prompts=(case(answer),)))
        return step.bound(tiny_model).baseline, rows(step, tiny_model).sort("name")["prob"]

    baseline, prob = swept(SET)
    each = [swept(answer) for answer in SET]
    said = chances(tiny_model, TEXT)
    assert baseline["prob"] == pytest.approx(sum(said[token(tiny_model, a)] for a in SET).item())
    assert prob.to_list() == pytest.approx(sum(one for _, one in each).to_list(), rel=1e-4)


def test_a_case_is_right_where_any_of_its_answers_is_said(tiny_model):
    said = {
        text: tiny_model.token(int(chances(tiny_model, text).argmax()))
        for text in (f"one {letter}" for letter in "abcdefghijklmnopqrstuvwxyz")
    }
    text, best = next(each for each in said.items() if each[1].isascii() and len(each[1]) == 1)
    for answers, right in (((best, "~"), True), (("~", best), True), (("~", "^"), False)):
        cases = tuple(Prompt(prompt=text, answer=each) for each in (answers, "~"))
        step = HeadsStep(prompts=PromptSet(name="mine", prompts=cases))
        assert step.bound(tiny_model).baseline["prompt_correct"] == [right, False]


def test_importance_on_several_answers_is_the_gain_of_their_sum(tiny_model):
    prompt = case(SET)
    run = trace(tiny_model, tiny_model.encode(prompt).ids)
    readout = run.freeze(tiny_model)
    wanted = [token(tiny_model, each) for each in SET]

    def log_prob(residual: torch.Tensor) -> float:
        return torch.log_softmax(readout.logits(residual), -1)[wanted].logsumexp(-1).item()

    found = rows(NeuronsStep(prompt=prompt, top=None), tiny_model)
    for layer, neuron, importance in found.select("layer", "neuron", "importance").rows()[::29]:
        x = run.before_ffn(layer)
        more = run.coefficients[layer, neuron] * tiny_model.values(layer)[neuron]
        assert importance == pytest.approx(log_prob(x + more) - log_prob(x), abs=1e-5)
    some = NeuronsStep(prompt=prompt, top=7)
    assert rows(some, tiny_model)["name"].to_list() == found["name"].head(7).to_list()
    baseline = some.bound(tiny_model).baseline
    assert baseline["answers"] == list(SET)
    assert baseline["answer_ids"] == wanted
    assert baseline["answer_id"] == wanted[0]


def test_other_steps_take_several_answers(tiny_model):
    prompt, said = case(SET), chances(tiny_model, TEXT)
    wanted = [token(tiny_model, each) for each in SET]
    last = rows(LensStep(prompt=prompt), tiny_model).filter(
        (pl.col("layer") == 2) & (pl.col("position") == len(TEXT))
    )
    assert last["answer_prob"].item() == pytest.approx(said[wanted].sum().item(), rel=1e-4)
    assert last["answer_rank"].item() == (said > said[wanted].max()).sum() + 1
    compared = CnaStep.of(prompt=prompt, ablate={"heads": ["L1H1"]}, top=3)
    baseline = compared.bound(tiny_model).baseline
    assert baseline["prob"] == pytest.approx(said[wanted].sum().item(), rel=1e-4)
    edit = EvaluateStep.of(
        edit=[{"heads": ["L1H1"]}],
        prompts=PromptSet(name="mine", prompts=(prompt,)),
        text=Text(name="short", text="a b c"),
        controls=0,
    )
    measured = rows(edit, tiny_model)
    values = {row["name"]: row["before"] for row in measured.to_dicts()}
    assert values["logprob"] == pytest.approx(said[wanted].sum().log().item(), rel=1e-4)
    logits = said.log()
    lead = logits[wanted].max() - logits[[i for i in range(257) if i not in wanted]].max()
    assert values["logit difference"] == pytest.approx(lead.item(), abs=1e-4)


def test_an_answer_stands_where_plain_transformers_has_it(tiny_model):
    said = chances(tiny_model, TEXT)
    found = standing(tiny_model, case("k"))
    assert found.prob == pytest.approx(said[token(tiny_model, "k")].item(), rel=1e-4)
    assert found.rank == (said > said[token(tiny_model, "k")]).sum() + 1
    most = standing(tiny_model, Prompt(prompt=TEXT))
    assert (most.rank, most.answer) == (1, tiny_model.token(int(said.argmax())))


def test_a_spelling_ten_times_as_likely_is_found_and_no_other(tiny_model):
    said = chances(tiny_model, TEXT)

    def prob(answer: str) -> float:
        chance, text = 1.0, TEXT
        for character in answer:
            chance *= chances(tiny_model, text)[token(tiny_model, character)].item()
            text += character
        return chance

    met = set()
    for letter in "abcdefghijk":
        others = [letter.upper(), f" {letter}", f" {letter.upper()}"]
        best = max(others, key=prob)
        rather = standing(tiny_model, case(letter)).rather
        met.add(rather is None)
        if prob(best) < LIKELIER * said[token(tiny_model, letter)]:
            assert rather is None
        else:
            assert rather is not None
            assert (rather.prompt, rather.answer) == (TEXT, best)
            assert rather.prob == pytest.approx(prob(best), rel=1e-3)
    assert met == {True, False}


def test_a_prompt_is_tried_without_its_last_space(tiny_model):
    typed = Prompt(prompt=f"{TEXT} ")
    without = chances(tiny_model, TEXT)
    found = standing(tiny_model, typed)
    assert found.rather is not None
    assert found.rather.prompt == TEXT
    assert found.rather.answer == tiny_model.token(int(without.argmax()))
    assert standing(tiny_model, Prompt(prompt=TEXT)).rather is None


def test_cases_of_a_set_are_found_by_their_numbers(tiny_model):
    cases = [case(letter) for letter in "abcdefghijk"]
    prompts = PromptSet(name="mine", prompts=(Prompt(prompt=TEXT), *cases))
    found = otherwise_spelt(tiny_model, prompts)
    alone = {
        number: standing(tiny_model, each).rather for number, each in enumerate(cases, start=2)
    }
    assert found
    assert {number: each.rather.answer for number, each in found.items()} == {
        number: rather.answer for number, rather in alone.items() if rather is not None
    }


@pytest.mark.parametrize(
    ("right", "answers", "words"),
    [
        (0, "abcd", "answers 0 of 4 cases right; what"),
        (1, "aabb", "answers 1 of 4 cases right, a guess among their 2 answers 2; what"),
        (2, "aabb", None),
        (1, "abcd", None),
        (1, "aaaa", None),
    ],
)
def test_cases_that_the_model_does_not_know_are_doubted(right, answers, words):
    prompts = PromptSet(name="mine", prompts=tuple(map(case, answers)))
    said = doubt([True] * right + [False] * (4 - right), prompts)
    assert said is None if words is None else words in said
    assert doubt([False], prompts) is None
