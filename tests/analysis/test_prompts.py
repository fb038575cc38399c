"""Prompts, their answers, and their text in one-line fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analysis.errors import InputError
from analysis.tasks.prompts import Prompt, PromptSet, escaped, unescaped

CASES = (
    Prompt(prompt="a\nb", answer="é", group="g", marks=("memorize", "change-one")),
    Prompt(prompt="c"),
)


def test_a_set_that_lacks_an_answer_is_refused_where_all_are_needed():
    whole = PromptSet(name="mine", prompts=(CASES[0], CASES[0]))
    whole.require_answers()
    with pytest.raises(InputError, match="case 2 of mine has no answer"):
        PromptSet(name="mine", prompts=CASES).require_answers()


def test_an_empty_prompt_is_refused():
    with pytest.raises(InputError, match="the prompt is empty"):
        PromptSet.single("")
    with pytest.raises(ValidationError):
        Prompt(prompt="")


@given(st.text())
def test_text_typed_in_a_shell_reads_back(text):
    assert unescaped(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_an_unknown_escape_stays_as_typed():
    assert unescaped(r"a\nb\\n\q" + "\\") == "a\nb\\n\\q\\"
