"""Text for the terminal: hostile tokens, exact cells, numbers, durations."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hostile import cells, harmless
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from screens.text import (
    cell_fit,
    coefficient,
    count,
    duration,
    logprob,
    number,
    one_line,
    probability,
    under_each_other,
    visible,
)

# Everything a tokenizer or a damaged file may hand over, lone surrogates and formats included.
anything = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=["Cs", "Cf", "Cc", "Mn", "Me", "Zs", "Co"]),
        st.sampled_from('\\"␣ \n\t\x1b\u200b\u200d\u202e\ufe0f\u0301八👍\U0001f3fd\U0001f1e6'),
    ),
    max_size=24,
)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("8", '"8"'),
        (" eight", '"␣eight"'),
        ("New York", '"New York"'),
        ("a  b ", '"a␣␣b␣"'),
        (" ", '"␣"'),
        ("", '""'),
        ("\n", r'"\n"'),
        ("\t\r", r'"\t\r"'),
        ("\x1b[31m", r'"\x1b[31m"'),
        ("\u202eabc", r'"\u202eabc"'),
        ("zero\u200bwidth", r'"zero\u200bwidth"'),
        ("\ud83d", r'"\ud83d"'),
        ("\xa0", r'"\xa0"'),
        ("\u2028", r'"\u2028"'),
        ("\U000e0100", r'"\U000e0100"'),
        ("[red]", '"[red]"'),
        ("é", '"é"'),
        ("e\u0301", '"e\u0301"'),
        ("\u0301", r'"\u0301"'),
        ("八", '"八"'),
        ("\ufffd", '"\ufffd"'),
        ("\\n", r'"\\n"'),
        ('"', r'"\""'),
        ("␣", r'"\u2423"'),
    ],
)
def test_a_token_is_quoted_with_all_it_hides_written_out(token: str, shown: str) -> None:
    assert visible(token) == shown


def test_a_tower_of_accents_is_cut_to_two() -> None:
    shown = visible("e" + "\u0301" * 5, quote=False)
    assert shown == "e\u0301\u0301" + r"\u0301" * 3


@given(anything)
def test_nothing_a_terminal_obeys_or_hides_is_left(token: str) -> None:
    for text in (visible(token), one_line(token)):
        assert all(char == " " or unicodedata.category(char)[0] not in "CZ" for char in text)
        text.encode("utf-8")


def test_every_character_shown_as_itself_is_as_wide_as_unicode_says() -> None:
    """Else a line would be cut where another terminal does not cut it."""
    shown = 0
    for code in range(0x110000):
        char = chr(code)
        if visible(f"a{char}b", quote=False) == f"a{char}b":
            shown += 1
            assert cell_len(f"a{char}b") == 2 + cells(char), hex(code)
            assert not "\u3248" <= char <= "\u324f"  # wide in tmux alone
            assert harmless(char)
    assert shown > 100_000


@given(anything, anything)
def test_different_tokens_look_different(one: str, other: str) -> None:
    assert (visible(one) == visible(other)) == (one == other)


def test_one_line_keeps_spaces_and_backslashes() -> None:
    assert one_line(r"a  \ b") == r"a  \ b"
    assert one_line("two\nlines") == r"two\nlines"


@given(anything, st.integers(0, 40), st.sampled_from(["left", "right", "center"]))
def test_a_cell_has_exactly_its_width(text: str, width: int, align: str) -> None:
    assert cell_len(cell_fit(text, width, align)) == width  # type: ignore[arg-type]


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=30))
def test_text_that_fits_is_only_padded(text: str) -> None:
    assert cell_fit(text, 30).rstrip() == text
    assert cell_fit(text, 30, "right").lstrip() == text


@pytest.mark.parametrize(
    ("text", "width", "align", "cell"),
    [
        ("neuron", 4, "left", "neu…"),
        ("neuron", 1, "left", "…"),
        ("neuron", 0, "left", ""),
        ("日本語", 4, "left", "日… "),
        ("日本語", 5, "right", "日本…"),
        ("日本語", 2, "left", "… "),
        ("ab", 5, "center", " ab  "),
        ("e\u0301x", 3, "right", " e\u0301x"),
        ("a\nb", 6, "left", "a\\nb  "),
    ],
)
def test_a_cell_is_cut_with_an_ellipsis(text: str, width: int, align: str, cell: str) -> None:
    assert cell_fit(text, width, align) == cell  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "decimals", "sign", "shown"),
    [
        (46080, 0, False, "46,080"),
        (-2.1344, 3, False, "−2.134"),
        (0.482, 3, True, "+0.482"),
        (-0.482, 3, True, "−0.482"),
        (-0.0004, 3, True, "0.000"),
        (0.0, 2, True, "0.00"),
        (1234567.891, 2, False, "1,234,567.89"),
        (None, 2, False, "·"),
        (math.nan, 2, True, "·"),
        (-math.inf, 2, False, "−∞"),
        (math.inf, 2, True, "+∞"),
    ],
)
def test_numbers_have_one_language(
    value: float | None, decimals: int, sign: bool, shown: str
) -> None:
    assert number(value, decimals, sign) == shown


def test_each_kind_of_number_has_its_digits() -> None:
    assert probability(0.99215) == "0.992"
    assert logprob(-0.1784) == "−0.178"
    assert logprob(0.5, sign=True) == "+0.500"
    assert coefficient(17.006) == "17.01"
    assert count(352256) == "352,256"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (0.44, "0.4 s"),
        (0.99, "1 s"),
        (11.2, "11 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
        (3840, "1 h 04 min"),
        (-3, "0.0 s"),
        (None, "·"),
        (math.inf, "·"),
    ],
)
def test_a_duration_has_two_units(seconds: float | None, shown: str) -> None:
    assert duration(seconds) == shown


def test_two_strips_stand_under_each_other_with_one_column_marked():
    strips = (["a", " \x1b[2J", "same"], ["a", "長い", "same", "more"])
    assert under_each_other(strips, 1) == [
        '"a" "␣\\x1b[2J" "same"',
        '"a" "長い"     "same" "more"',
        "    ^",
    ]


def test_the_marked_column_of_long_strips_is_in_sight():
    strips = [[f"word {place}" for place in range(50)]] * 2
    *both, mark = under_each_other(strips, 40, 60)
    assert all(len(line) <= 60 and line.startswith("… ") and line.endswith(" …") for line in both)
    assert both[0][mark.index("^") :].startswith('"word 40"')
