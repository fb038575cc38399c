"""The filter language, term by term."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screens.widgets.row_filter import FilterError, parse_filter

FRAME = pl.DataFrame(
    {
        "name": ["L2N1", "L20N1", "L20N14", "L3N20"],
        "layer": [2, 20, 20, 3],
        "importance": [1.0, 0.2, None, float("nan")],
        "importance_change": [0.1, -0.5, 0.3, None],
        "coefficient_change": [1.0, 2.0, 3.0, 4.0],
        "certified": [True, False, True, None],
        "tokens": [[" eight", "8"], ["EIGHT"], ["a>b", "New York"], None],
    }
)
SEARCH = ["name", "tokens"]
LABELS = {"importance_change": "change"}


def kept(text: str, frame: pl.DataFrame = FRAME) -> list[str]:
    condition = parse_filter(text, frame, SEARCH, LABELS)
    rows = frame if condition is None else frame.filter(condition)
    return rows.get_column("name").to_list()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["L2N1", "L20N1", "L20N14", "L3N20"]),
        ("  ", ["L2N1", "L20N1", "L20N14", "L3N20"]),
        ("eight", ["L2N1", "L20N1"]),
        ("␣eight", ["L2N1"]),
        ('" eight"', ["L2N1"]),
        ('"new york"', ["L20N14"]),
        ('"a>b"', ["L20N14"]),
        ("N1", ["L2N1", "L20N1", "L20N14"]),
        ("n20", ["L3N20"]),
        ("L2", ["L2N1"]),
        ("l20", ["L20N1", "L20N14"]),
        ("layer:20", ["L20N1", "L20N14"]),
        ("L20N1", ["L20N1", "L20N14"]),
        ("L20 change>0", ["L20N14"]),
        ("change>0.1", ["L20N14"]),
        ("change>=0.1", ["L2N1", "L20N14"]),
        ("change≥0.1", ["L2N1", "L20N14"]),
        ("change<−0.4", ["L20N1"]),
        ("change > 0.1", ["L20N14"]),
        ("L20 change >= -1 eight", ["L20N1"]),
        ("|change| > 0.2", ["L20N1", "L20N14"]),
        ('tokens = "EIGHT"', ["L20N1"]),
        ("|change|>0.2", ["L20N1", "L20N14"]),
        ("importance<=1", ["L2N1", "L20N1"]),
        ("importance>0", ["L2N1", "L20N1"]),
        ("layer!=20", ["L2N1", "L3N20"]),
        ("layer=3", ["L3N20"]),
        ("certified=true", ["L2N1", "L20N14"]),
        ("tokens:eight", ["L2N1", "L20N1"]),
        ("tokens:N1", []),
        ("no:such", []),
        ("[", []),
        ("L" + "9" * 22, []),
        ("layer>" + "9" * 22, []),
    ],
)
def test_a_row_must_meet_every_term(text: str, names: list[str]) -> None:
    assert kept(text) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour>1", "no column colour"),
        ("layer>many", "many is not a number"),
        ("layer:many", "many is not a number"),
        ("tokens>3", "tokens holds text"),
        ("|change>3", r"write the size of a value as \|change\|"),
        (">0.5", "of what\\? Name a column, as importance>0.5"),
        ("> 0.5", "of what"),
        ("L20 > 0.5", "no column L20"),
        ("a>b", '"quoted" it is text.*there are importance'),
        ("change >", "> what. Write a number behind it"),
        ("change>", "change> what. Write a number"),
        ("|change|<", "what. Write a number"),
        ('"open', 'a " is not closed'),
    ],
)
def test_what_cannot_be_done_is_said(text: str, message: str) -> None:
    with pytest.raises(FilterError, match=message):
        kept(text)


def test_an_ending_shared_by_columns_is_ambiguous_without_a_header() -> None:
    with pytest.raises(FilterError, match="importance_change or coefficient_change"):
        parse_filter("change>1", FRAME, SEARCH)


def test_layers_are_read_off_the_names_where_no_column_holds_them() -> None:
    assert kept("L2", FRAME.drop("layer")) == ["L2N1"]


FRAGMENTS = 'L l 20 layer : change | > >= < != = " - − . e 1 \ud800 [ ( nan inf tokens certified'
PIECES = [*FRAGMENTS.split(" "), "importance", "true", " ", "9" * 22]


@given(
    st.lists(
        st.one_of(
            st.sampled_from(PIECES),
            st.text(max_size=4),
        ),
        max_size=8,
    )
)
def test_whatever_is_typed_filters_or_is_refused_in_words(parts: list[str]) -> None:
    try:
        names = kept("".join(parts))
    except FilterError as error:
        assert str(error)
    else:
        assert set(names) <= set(FRAME.get_column("name"))
