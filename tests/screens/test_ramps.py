"""Colour ramps: what a step means, and that every terminal shows it."""

from __future__ import annotations

import math

import pytest
from head_maps import HARM, HELP, MUCH, ZERO
from hypothesis import given
from hypothesis import strategies as st
from rich.color import Color, ColorSystem
from textual.theme import Theme

from screens.colours import (
    PENDING,
    Ramp,
    amount_ramp,
    blend,
    change_ramp,
    luminance,
    readable_on,
    share_ramp,
)
from screens.themes import DARK, LIGHT, THEMES


def on_256(color: tuple[int, int, int]) -> tuple[int, int, int]:
    """What a 256-colour terminal shows for `color`."""
    return tuple(Color.from_rgb(*color).downgrade(ColorSystem.EIGHT_BIT).get_truecolor())  # type: ignore[return-value]


CHANGES = [change_ramp(theme) for theme in THEMES.values()]
AMOUNTS = [amount_ramp(theme) for theme in (DARK, LIGHT)]
BACKGROUNDS = {True: (18, 18, 18), False: (224, 224, 224)}
each_theme = pytest.mark.parametrize("theme", THEMES.values(), ids=[*THEMES])
finite = st.floats(-1e6, 1e6)


@pytest.mark.parametrize("ramp", CHANGES + AMOUNTS)
def test_a_256_colour_terminal_shows_the_same_colours(ramp: Ramp) -> None:
    assert [on_256(color) for color in ramp.colors] == list(ramp.colors)
    numbers = {
        Color.from_rgb(*color).downgrade(ColorSystem.EIGHT_BIT).number for color in ramp.colors
    }
    assert len(numbers) == len(ramp)


@each_theme
def test_an_amount_moves_steadily_away_from_the_background(theme: Theme) -> None:
    levels = [luminance(color) for color in amount_ramp(theme).colors]
    assert levels == sorted(levels, reverse=not theme.dark)
    assert len(set(levels)) == len(levels)


@each_theme
def test_a_change_moves_steadily_away_from_zero_on_both_sides(theme: Theme) -> None:
    levels = [luminance(color) for color in change_ramp(theme).colors]
    middle = len(levels) // 2
    harm, benefit = levels[middle::-1], levels[middle:]
    for arm in (harm, benefit):
        assert arm == sorted(arm, reverse=not theme.dark)
        assert len(set(arm)) == len(arm)


@pytest.mark.parametrize("ramp", CHANGES)
def test_harm_and_help_differ_where_red_and_green_look_alike(ramp: Ramp) -> None:
    middle = len(ramp) // 2
    for step, (red, green, blue) in enumerate(ramp.colors):
        if step < middle:
            assert max(red, green) > blue
        elif step > middle:
            assert blue > (red + green) / 2


@each_theme
def test_zero_is_quiet_but_not_the_background(theme: Theme) -> None:
    ramp, ground = change_ramp(theme), BACKGROUNDS[theme.dark]
    zero = ramp.colors[len(ramp) // 2]
    distances = [abs(luminance(color) - luminance(ground)) for color in ramp.colors]
    assert zero != ground
    assert distances[len(ramp) // 2] < max(distances)


@each_theme
def test_the_largest_amount_has_a_colour_of_its_own_on_each_theme(theme: Theme) -> None:
    assert amount_ramp(theme).colors[-1] == MUCH[theme.dark]


def test_harm_is_orange_help_is_blue_and_no_change_is_grey() -> None:
    colors = change_ramp().colors
    assert (colors[0], colors[len(colors) // 2], colors[-1]) == (HARM, ZERO, HELP)


@given(finite, st.floats(0.001, 1e6))
def test_a_change_and_its_opposite_are_as_far_from_the_middle(value: float, reach: float) -> None:
    ramp = change_ramp()
    there, back = ramp.index(value, -reach, reach), ramp.index(-value, -reach, reach)
    assert there + back == len(ramp) - 1


@given(finite, finite)
def test_a_larger_value_is_never_a_lower_step(one: float, other: float) -> None:
    for ramp in (change_ramp(), amount_ramp()):
        low, high = sorted((one, other))
        assert ramp.index(low, -50, 100) <= ramp.index(high, -50, 100)


def test_the_ends_of_the_scale_are_the_ends_of_the_ramp() -> None:
    change, amount = change_ramp(), amount_ramp()
    assert change.index(-2.1, -2.1, 0.3) == 0
    assert change.index(0.0, -2.1, 0.3) == len(change) // 2
    # One step means one size on both sides, so the short side does not reach the last colour.
    assert len(change) // 2 < change.index(0.3, -2.1, 0.3) < len(change) - 1
    assert amount.index(0, 0, 5) == 0
    assert amount.index(5, 0, 5) == len(amount) - 1
    assert amount.index(99, 0, 5) == len(amount) - 1


def test_what_is_not_a_number_is_pending() -> None:
    for ramp in (change_ramp(), amount_ramp()):
        assert ramp.index(None, -1, 1) == PENDING
        assert ramp.index(math.nan, -1, 1) == PENDING


def test_shares_go_by_their_square_root_and_less_than_a_percent_stays_quiet() -> None:
    shares = (0.0, 0.009, 0.011, 0.05, 0.1, 0.3, 1.0, 7.0, math.inf)
    assert [share_ramp().index(each, 0, 1) for each in shares] == [0, 0, 1, 2, 3, 5, 9, 9, 9]


def test_a_scale_without_extent_does_not_divide_by_zero() -> None:
    assert change_ramp().index(0.0, 0.0, 0.0) == len(change_ramp()) // 2
    assert amount_ramp().index(3.0, 3.0, 3.0) == 0


def test_glyphs_tell_harm_from_help_without_colour() -> None:
    glyphs = change_ramp().glyphs
    middle = len(glyphs) // 2
    assert not set(glyphs[:middle]) & set(glyphs[middle:])
    assert glyphs[0] == "█"
    assert glyphs[middle] == "·"
    assert glyphs[middle + 1] == "+"
    assert "-" not in glyphs


def test_a_ramp_needs_a_glyph_a_colour_and_a_middle_if_centred() -> None:
    with pytest.raises(ValueError, match="1 glyphs for 2"):
        Ramp(((0, 0, 0), (255, 255, 255)), "x", centred=False)
    with pytest.raises(ValueError, match="middle"):
        Ramp(((0, 0, 0), (255, 255, 255)), "xy", centred=True)


@pytest.mark.parametrize("ramp", CHANGES + AMOUNTS)
def test_text_on_a_step_is_readable(ramp: Ramp) -> None:
    for color in ramp.colors:
        pair = sorted((luminance(color), luminance(readable_on(color))))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_blending_runs_from_background_to_colour() -> None:
    assert blend((200, 100, 0), (0, 0, 0), 0.0) == (0, 0, 0)
    assert blend((200, 100, 0), (0, 0, 0), 1.0) == (200, 100, 0)
    assert blend((200, 100, 0), (0, 0, 100), 0.5) == (100, 50, 50)
