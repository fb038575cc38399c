"""Before, after and beside random parts: every number against edited weights and plain means."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from plainly import log_softmax
from test_variants import edited
from tiny import few, named, opened
from working import PROMPTS, rows

from analysis import bootstrap
from analysis.changes import Changes
from analysis.changing.evaluation import pieces_of
from analysis.errors import InputError
from analysis.interventions import Intervention
from analysis.steps import EvaluateStep
from analysis.tasks.pairs import TEMPLATES, PromptPair, gender_prompt_pairs, pairs_in, word_pairs
from analysis.tasks.prompts import Prompt, PromptSet
from analysis.tasks.standard import task
from analysis.tasks.texts import Text

EDIT = Changes.parse(["L0H1", "L1N4,L1N5", "L2N3=0.5"])
TEXT = Text(name="short", text="the sum of one and two is three, and the sea is near. " * 3)
PAIRS = (
    PromptPair(
        first=Prompt(prompt="a woman is ", answer="one"),
        second=Prompt(prompt="a man is ", answer="one"),
        group="woman",
    ),
    PromptPair(
        first=Prompt(prompt="a man is ", answer="two and"),
        second=Prompt(prompt="a woman is ", answer="two and"),
        group="man",
    ),
)
OTHER = PromptSet(name="other", prompts=PROMPTS.prompts[:3])
STEP = EvaluateStep(
    edit=EDIT.interventions,
    prompts=PROMPTS,
    pairs=PAIRS,
    others=(OTHER,),
    text=TEXT,
    text_tokens=20,
)
TOLERANCE = 2e-5


def plain_values(model, hf, step) -> dict[str, list[float]]:
    """What each measure is of each case, one prompt and token after the other, on some weights."""

    def logits(ids):
        with torch.no_grad():
            return hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double()

    def answered(ids, answer):
        found = logits(ids + answer)[len(ids) - 1 : -1]
        target = torch.tensor(answer)
        first = found[0].clone()
        own = first[answer[0]].item()
        first[answer[0]] = -torch.inf
        return (
            float((found.argmax(-1) == target).all()),
            log_softmax(found)[range(len(answer)), target].sum().item(),
            own - first.max().item(),
        )

    def case(prompt):
        each = model.encode(prompt)
        with torch.no_grad():
            top = model.hf(torch.tensor([each.ids])).logits[0, -1].argmax().item()
        return answered(each.ids, each.answer_ids or (top,))

    def loss(ids):
        found = log_softmax(logits(ids)[:-1])
        return -found[range(len(ids) - 1), torch.tensor(ids[1:])].mean().item()

    targets = [case(prompt) for prompt in step.prompts.prompts]
    gaps = [case(pair.first)[1] - case(pair.second)[1] for pair in step.pairs]
    losses = [loss(ids) for ids in pieces_of(model, step.text, step.text_tokens)]
    return {
        "accuracy": [each[0] for each in targets],
        "logprob": [each[1] for each in targets],
        "logit difference": [each[2] for each in targets],
        "gap": gaps,
        "gap woman": gaps[:1],
        "gap man": gaps[1:],
        "loss": losses,
        "perplexity": losses,
        "accuracy other": [case(prompt)[0] for prompt in step.others[0].prompts],
    }


@few
def test_each_case_is_what_edited_weights_give(model, case):
    table = rows(STEP, model)
    before, after = (
        plain_values(model, hf, STEP) for hf in (model.hf, edited(model, case, EDIT).hf)
    )
    draws = [Changes.parse(texts) for texts in STEP.bound(model).baseline["controls"]]
    controls = [plain_values(model, edited(model, case, draw).hf, STEP) for draw in draws]
    assert table["name"].to_list() == list(before)
    for row in table.to_dicts():
        name = row["name"]
        control = np.mean([each[name] for each in controls], 0)
        assert row["case_before"] == pytest.approx(before[name], abs=TOLERANCE)
        assert row["case_after"] == pytest.approx(after[name], abs=TOLERANCE)
        assert row["case_control"] == pytest.approx(control, abs=TOLERANCE)


def test_numbers_are_means_of_the_cases_by_weight(llama):
    table = rows(STEP, llama)
    weights = [len(ids) - 1 for ids in pieces_of(llama, TEXT, 20)]
    for row in table.to_dicts():
        w = weights if row["on"].startswith("text") else None
        before, after = (np.average(row[f"case_{each}"], weights=w) for each in ("before", "after"))
        if row["name"] == "perplexity":
            before, after = np.exp(before), np.exp(after)
        assert row["before"] == pytest.approx(before)
        assert row["after"] == pytest.approx(after)
        assert row["change"] == pytest.approx(after - before)
        assert row["cases"] == len(row["case_before"])
        if row["cases"] > 1:
            assert row["before_low"] <= row["before"] <= row["before_high"]
            assert row["change_low"] <= row["change"] <= row["change_high"]
        else:
            assert row["before_low"] is row["change_high"] is None


def test_the_whole_text_is_read_in_pieces_that_fit(model):
    plain = tuple(model.tokenizer(TEXT.text, add_special_tokens=False).input_ids)
    (first, *_) = pieces = pieces_of(model, TEXT, 20)
    given = len(first) - len([each for each in first if each != 1])
    assert sum((each[given:] for each in pieces), ()) == plain
    assert max(map(len, pieces)) <= 20
    assert {each[:given] for each in pieces} == {first[:given]}
    everything = pieces_of(model, Text(name="long", text=TEXT.text * 5), 10_000)
    assert max(map(len, everything)) == model.info.context


def test_measures_that_are_there_are_not_taken_again(llama):
    done = ["accuracy", "logprob", "logit difference", "gap", "loss", "perplexity"]
    whole = rows(STEP, llama)
    frames = list(STEP.run(llama, done))
    assert len(frames) == 2
    assert pl.concat(frames).equals(whole.filter(~pl.col("name").is_in(done)))
    assert list(STEP.run(llama, whole["name"].to_list())) == []
    assert STEP.bound(llama).expected == whole.height


def test_without_controls_there_is_none(llama):
    row = rows(STEP.model_copy(update={"controls": 0}), llama).row(0, named=True)
    assert row["control"] is row["control_low"] is row["case_control"] is None


def test_a_control_is_as_many_other_parts_of_the_same_layers_and_recorded(llama):
    def shape(changes):
        return Counter((type(part), part.layer, factor) for part, factor in changes.factors)

    baseline = STEP.bound(llama).baseline
    draws = [Changes.parse(texts) for texts in baseline["controls"]]
    assert len(draws) == STEP.controls
    for drawn in draws:
        assert not dict(drawn.factors).keys() & dict(EDIT.factors).keys()
        assert shape(drawn) == shape(EDIT)
    assert draws[0] != draws[1]
    assert STEP.bound(llama).baseline == baseline


def test_a_whole_layer_has_no_control_and_that_is_said(llama):
    every = Intervention.parse(",".join(f"L1H{head}" for head in range(llama.info.heads)))
    step = STEP.model_copy(update={"edit": (every,)})
    assert step.bound(llama).baseline["controls"] == []
    note = "no random control: layer 1 has too few other heads"
    assert step.bound(llama).baseline["control_note"] == note
    assert set(rows(step, llama)["control"]) == {None}


def test_an_evaluation_on_a_variant_edits_the_variant():
    case = named("llama grouped")
    model = opened(case)
    base = Changes.parse(["L1H0=0.5", "L0N3"])
    live = rows(STEP.model_copy(update={"changes": base.interventions}), model)
    plain = rows(STEP, edited(model, case, base))
    for name in ("before", "after", "control", "change_low"):
        assert live[name].to_list() == pytest.approx(plain[name].to_list(), abs=1e-3)


def test_pairs_of_the_gender_task_have_the_expected_gender_first():
    def pair(template, first, second, answer):
        prompts = [
            Prompt(prompt=template.format(each), answer=answer, group=each)
            for each in (first, second)
        ]
        return PromptPair(first=prompts[0], second=prompts[1], group=first)

    expected = (
        pair("A {} works as a", "woman", "man", " nurse"),
        pair("The job of a {} is", "woman", "man", " cleaner"),
        pair("A {} works as a", "man", "woman", " police"),
    )
    for pairs in (pairs_in(task("gender")), gender_prompt_pairs()):
        assert len(pairs) == 256
        assert {*expected} < {*pairs}
    assert len(gender_prompt_pairs(TEMPLATES[:1])) == 32


def test_pairs_of_a_file_are_its_cases_by_twos():
    def case(prompt, answer, group):
        return Prompt(prompt=prompt, answer=answer, group=group)

    two = (case("x is", " a", "left"), case("y is", " a", "right"))
    (pair,) = pairs_in(PromptSet(name="mine", prompts=two))
    assert (pair.first, pair.second, pair.group) == (*two, "")
    for prompts in (
        two[:1],
        (*two, two[0]),
        (two[0], two[0]),
        (two[0], case("y is", " b", "right")),
        (case("x is", None, "left"), case("y is", None, "right")),
    ):
        assert pairs_in(PromptSet(name="mine", prompts=prompts)) == ()
    assert pairs_in(task("add1")) == ()


def test_words_follow_both_prompts_behind_a_space():
    nurse, driver = word_pairs("A woman is a", "A man is a", ["nurse", " driver", "nurse", ""])
    assert (nurse.answer, driver.answer) == (" nurse", " driver")
    assert (nurse.first.prompt, nurse.second.prompt) == ("A woman is a", "A man is a")
    assert word_pairs("a ", "b ", ["nurse"])[0].answer == "nurse"
    with pytest.raises(InputError, match="no words"):
        word_pairs("a", "b", [" "])
    with pytest.raises(InputError, match="both prompts are the same"):
        word_pairs("a", "a", ["x"])


def test_an_interval_holds_what_resamples_give():
    values = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    found = bootstrap.of(lambda each: each.mean(1), values, seed=3)
    assert found == bootstrap.mean(values, 3, scale=1.0)
    assert bootstrap.of(lambda each: each.mean(1), [2.0], seed=3) == bootstrap.Estimate.certain(2.0)
    assert bootstrap.of(lambda each: each.mean(1), [], seed=3).value is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompts": None, "pairs": (), "others": (), "text": None}, "nothing to measure"),
        ({"edit": ()}, "edit"),
        ({"edit": ({"heads": []},)}, "nothing is changed"),
        ({"others": (OTHER, OTHER)}, "the task other is given 2 times"),
        ({"others": (PROMPTS,)}, "has no answer"),
        ({"text": {"name": "x", "text": ""}}, "text"),
        ({"text_tokens": 1}, "text_tokens"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_refused(fields, message):
    with pytest.raises(InputError, match=message):
        EvaluateStep.of(**{name: getattr(STEP, name) for name in ("edit", "prompts")} | fields)


def test_a_text_too_short_or_missing_is_refused(llama, tmp_path):
    short = EvaluateStep(edit=EDIT.interventions, text=Text(name="x", text="a"))
    with pytest.raises(InputError, match="too few tokens"):
        short.bound(llama)
    for content, message in (
        (b"\xff", "not UTF-8"),
        (b" \n", "is empty"),
        (b"a" * 5_000_000, "MiB"),
    ):
        (tmp_path / "t.txt").write_bytes(content)
        with pytest.raises(InputError, match=message):
            Text.read(tmp_path / "t.txt")
    with pytest.raises(InputError, match="cannot read text none.txt"):
        Text.read(tmp_path / "none.txt")


def test_the_sample_text_is_there():
    sample = Text.sample()
    assert len(sample.text.split()) > 900
    assert sample.text.isascii()
