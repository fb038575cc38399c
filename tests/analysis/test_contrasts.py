"""The tasks whose cases have a second prompt: what they ask is true, and what does not fit goes."""

from __future__ import annotations

import re

import pytest

from analysis.errors import InputError
from analysis.methods.heads import sweep_work
from analysis.steps import HeadsStep
from analysis.tasks.contrasts import (
    CAPITALS,
    CONTRASTS,
    CURRENCIES,
    LANGUAGES,
    MEN,
    SERIES,
    WOMEN,
    contrasting,
)
from analysis.tasks.prompts import Prompt, PromptSet

CASES = 60


def cases_of(name):
    return contrasting(name, CASES, seed=3).prompts


def test_the_receiver_is_the_one_who_does_not_give():
    groups = set()
    for each in cases_of("ioi"):
        people = [word.strip(",") for word in each.prompt.split() if word.strip(",") in WOMEN + MEN]
        first, second, giver = people
        receiver = second if giver == first else first
        assert (each.answers, each.wrongs) == ((f" {receiver}",), (f" {giver}",))
        assert each.group == ("ABBA" if giver == second else "BABA")
        before, _, behind = each.prompt.rpartition(giver)
        assert each.corrupt == before + receiver + behind
        groups.add(each.group)
    assert groups == {"ABBA", "BABA"}


def test_a_span_ends_later_than_it_began():
    for each in cases_of("greater-than"):
        begun = int(re.search(r"year \d\d(\d\d) ", each.prompt)[1])
        width = len(each.answers[0])
        begun //= 10 ** (2 - width)
        assert [int(answer) for answer in each.answers] == [*range(begun + 1, 10**width)]
        assert [int(answer) for answer in each.wrongs] == [*range(begun)]
        assert re.sub(r"(year \d\d)\d\d ", r"\g<1>01 ", each.prompt) == each.corrupt
    assert {each.group for each in cases_of("greater-than")} == {"decade", "year"}


@pytest.mark.parametrize("name", ["capitals", "facts"])
def test_what_is_known_of_a_country_is_asked_of_two(name):
    for each in cases_of(name):
        known = {"": CAPITALS, "language": LANGUAGES, "currency": CURRENCIES}[each.group]
        pairs = [(each.prompt, *each.answers), (each.corrupt, *each.wrongs)]
        for text, answer in pairs:
            assert [f" {said}" for country, said in known.items() if country in text] == [answer]
        assert each.answers != each.wrongs


def test_a_pronoun_takes_up_the_name():
    for each in cases_of("gender-pronoun"):
        for text, said in ((each.prompt, each.answers), (each.corrupt, each.wrongs)):
            assert said == (" she",) if text.split()[1] in WOMEN else (" he",)


def test_a_series_goes_on():
    groups = set()
    for each in cases_of("successor"):
        series = SERIES[each.group]
        for text, (said,) in ((each.prompt, each.answers), (each.corrupt, each.wrongs)):
            shown = [*text.strip(",").split(", "), said.strip()]
            start = series.index(shown[0])
            assert tuple(shown) == series[start : start + len(shown)]
        groups.add(each.group)
    assert groups == set(SERIES)


def test_words_said_twice_go_on_as_before():
    for each in cases_of("induction"):
        for text, (said,) in ((each.prompt, each.answers), (each.corrupt, each.wrongs)):
            words = text.split()
            again = len(words) - 8
            assert words[8:] == words[:again]
            assert said == f" {words[again]}"


@pytest.mark.parametrize("name", CONTRASTS)
def test_a_seed_draws_the_same_cases_and_another_one_others(name):
    assert contrasting(name, 20, seed=1) == contrasting(name, 20, seed=1)
    assert contrasting(name, 20, seed=1) != contrasting(name, 20, seed=2)


def test_more_cases_than_there_are_is_refused():
    with pytest.raises(InputError, match="--cases 100000: gender-pronoun has only"):
        contrasting("gender-pronoun", 100_000, seed=0)


def test_what_does_not_fit_the_tokenizer_is_left_out_and_counted(llama):
    # A character is a token of this model.
    fits = Prompt(prompt="3 + 5 = ", corrupt="3 + 4 = ", answer="8", wrong="7")
    long = fits.model_copy(update={"answer": "80"})
    uneven = fits.model_copy(update={"corrupt": "3 + 10 = "})
    given = PromptSet(name="own", prompts=(fits, long, uneven), only_fitting=True)
    step = HeadsStep(prompts=given).fitted(llama.fits)
    assert step.prompts.prompts == (fits,)
    assert step.prompts.title == "own · 1 prompt (2 left out)"
    assert "only_fitting" not in step.model_dump()["prompts"]
    assert sweep_work(llama, step.prompts.prompts).expected > 0
    with pytest.raises(InputError, match="none of the 2 cases of own fits"):
        given.model_copy(update={"prompts": (long, uneven)}).fitted(llama.fits)


def test_cases_of_other_sets_are_not_left_out(llama):
    given = PromptSet(name="own", prompts=(Prompt(prompt="a", answer="many more tokens"),))
    assert HeadsStep(prompts=given).fitted(llama.fits).prompts is given
