"""What a line takes of a pasted text: all of it or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import InputError
from analysis.tasks.prompts import unescaped
from screens.widgets.inputs import as_line


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], include_characters="\n\t")))
def test_a_line_for_texts_keeps_every_line_of_them(text):
    line = as_line(text, escapes=True)
    assert "\n" not in line
    assert "\t" not in line
    assert unescaped(line) == text


@pytest.mark.parametrize(
    ("text", "escapes", "line"),
    [
        ("a\r\nb\rc\n", True, r"a\nb\nc\n"),
        (r"\nabla", True, r"\\nabla"),
        (r"C:\new", False, r"C:\new"),
        ("a name\r\n", False, "a name"),
    ],
)
def test_a_line_takes_a_text_whole(text, escapes, line):
    assert as_line(text, escapes) == line


@pytest.mark.parametrize(
    ("text", "escapes", "reason"),
    [
        ("a\nb\nc", False, "takes one line, the text has 3"),
        ("a\tb", False, "holds a tab"),
        ("a\x1b[31mb", True, r"the control character \\x1b"),
        ("a\x9bb", False, r"the control character \\x9b"),
        ("a\ud83d", True, "half a surrogate pair"),
    ],
)
def test_a_text_that_a_line_cannot_take_whole_is_refused(text, escapes, reason):
    with pytest.raises(InputError, match=reason):
        as_line(text, escapes)
