"""The themes can be read by measure: contrast as WCAG has it, hues as other eyes see them."""

from __future__ import annotations

import math

import pytest
from rich.color import ColorSystem
from textual.color import Color
from textual.theme import Theme

from screens.colours import Rgb, change_ramp, luminance
from screens.themes import COLOUR_BLIND, HIGH_CONTRAST, THEMES, named_colours

LEAST = dict.fromkeys(THEMES, 4.5) | {HIGH_CONTRAST.name: 7.0}
WORDS = ("text", "text-muted", "foreground", "accent", "error", "warning", "success", "primary")
TINTED = ("text-error", "text-warning", "text-success")
DIM = 0.66
"""What is left of the colour of text that is dim."""
# How an eye without one kind of cone sees linear red, green and blue (Machado and others, 2009).
PROTANOPIA = ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052))
DEUTERANOPIA = ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969))
each_theme = pytest.mark.parametrize("theme", THEMES.values(), ids=[*THEMES])


def contrast(one: Color, other: Color) -> float:
    darker, lighter = sorted((luminance(one.rgb), luminance(other.rgb)))
    return (lighter + 0.05) / (darker + 0.05)


def on_256(color: Color) -> Color:
    return Color(*color.rich_color.downgrade(ColorSystem.EIGHT_BIT).get_truecolor())


@each_theme
def test_words_stand_out_from_all_that_lies_behind_them(theme: Theme) -> None:
    colours = theme.to_color_system().generate() | theme.variables
    ink = Color.parse(theme.foreground)
    plain = [Color.parse(getattr(theme, name)) for name in ("background", "surface", "panel")]
    lit = [each.blend(ink, 0.1) for each in plain[:2]]  # the line that the cursor is on
    for behind in plain + lit:
        for name in WORDS + TINTED:
            word = colours[name]
            if word.startswith("auto"):
                share = float(word.split()[1].rstrip("%")) / 100
                shown = behind.blend(behind.get_contrast_text(1.0), share)
            else:
                shown = Color.parse(word)
            assert contrast(shown, behind) >= LEAST[theme.name], (name, behind.hex)
            if behind in plain:
                assert contrast(on_256(shown), on_256(behind)) >= LEAST[theme.name] - 0.5, name
        assert contrast(behind.blend(ink, DIM), behind) >= LEAST[theme.name], behind.hex


@each_theme
def test_the_answer_stands_out_from_its_own_tint(theme: Theme) -> None:
    accent, background = Color.parse(theme.accent), Color.parse(theme.background)
    for share in (0.12, 0.22):
        assert contrast(accent, background.blend(accent, share)) >= LEAST[theme.name]


@each_theme
def test_colours_by_name_are_those_of_the_theme(theme: Theme) -> None:
    named = named_colours(theme)
    for number, own in ((1, theme.error), (2, theme.success), (3, theme.warning)):
        assert tuple(named.ansi_colors[number]) == Color.parse(own).rgb


def seen_by(eye: tuple[tuple[float, ...], ...], color: Rgb) -> tuple[float, float, float]:
    """CIE L*a*b* of what an eye sees."""
    shares = [each / 255 for each in color]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    red, green, blue = (
        min(max(sum(a * b for a, b in zip(row, linear, strict=True)), 0.0), 1.0) for row in eye
    )
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in (x, y, z))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize("eye", [PROTANOPIA, DEUTERANOPIA], ids=["protan", "deutan"])
def test_harm_and_help_stay_apart_for_eyes_that_take_red_for_green(eye) -> None:
    colors = [seen_by(eye, each) for each in change_ramp(COLOUR_BLIND).colors]
    for harm, helps in zip(colors[:5], colors[:5:-1], strict=True):
        # By hue alone, so that brightness is left to say how much.
        assert math.dist(harm[1:], helps[1:]) > 40
    told = [
        seen_by(eye, Color.parse(each).rgb) for each in (COLOUR_BLIND.success, COLOUR_BLIND.error)
    ]
    assert math.dist(*told) > 60
