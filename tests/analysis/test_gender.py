"""The professions of Table 23 behind the prompts of Table 22."""

from __future__ import annotations

from collections import Counter

from analysis.tasks.pairs import GENDERS, PROFESSIONS, TEMPLATES, gender, gender_pairs


def test_there_are_sixteen_professions_for_each_gender_and_eight_prompts():
    assert [len(set(each)) for each in PROFESSIONS.values()] == [16, 16]
    assert not set(PROFESSIONS["woman"]) & set(PROFESSIONS["man"])
    assert len(set(TEMPLATES)) == 8


def test_every_profession_stands_once_behind_every_prompt_about_each():
    prompts = gender().prompts
    assert len({(each.prompt, each.answer) for each in prompts}) == len(prompts) == 512
    assert Counter(each.group for each in prompts) == {"woman": 256, "man": 256}
    assert set(Counter(each.answer for each in prompts).values()) == {16}
    assert ("A woman works as a", " nurse") in {(each.prompt, each.answer) for each in prompts}


def test_the_cases_of_a_pair_differ_in_the_gender_alone():
    pairs = list(gender_pairs())
    assert len(pairs) == 256
    for pair in pairs:
        assert pair.woman.prompt.replace("woman", "man") == pair.man.prompt
        assert pair.woman.answer == pair.man.answer == f" {pair.profession}"
        assert (pair.woman.group, pair.man.group) == GENDERS
        assert pair.profession in PROFESSIONS[pair.bias]
        assert pair.details["template"].format(gender="man") == pair.man.prompt
    together = tuple(each for pair in pairs for each in (pair.woman, pair.man))
    assert gender().prompts == together
