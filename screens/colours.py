"""Colours: ramps for data, with one meaning on every screen, and inks of widgets.

Changes diverge, amounts rise. Each colour is a level of the 256-colour cube (or a grey that the
cube keeps), so a terminal without true colour shows the same picture. Luminance rises step by step
away from the background, so a ramp also reads without its hues; harm and help differ along the
blue-yellow axis, which red-green colour blindness leaves intact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from rich.color import Color
from rich.style import Style
from textual.app import App
from textual.theme import Theme
from textual.widget import Widget

Rgb = tuple[int, int, int]

PENDING = -1
"""The index of a value that is not there: not measured yet, or not a number."""

_BLACK: Rgb = (0, 0, 0)
_WHITE: Rgb = (255, 255, 255)


@dataclass(frozen=True)
class Ramp:
    """Colours and glyphs for a range of numbers, with the styles made once."""

    colors: tuple[Rgb, ...]
    glyphs: str
    """One glyph a colour, for terminals without enough of them."""
    centred: bool
    """Whether the middle step means zero."""
    rooted: bool = False
    """Whether the steps of amounts go by the square root of the size too, and none is shown before
    it is reached: what is next to nothing stays quiet."""
    fills: tuple[Style, ...] = field(init=False, repr=False)
    """The step as a background."""
    inks: tuple[Style, ...] = field(init=False, repr=False)
    """The step as a foreground."""
    contrasts: tuple[Style, ...] = field(init=False, repr=False)
    """Black or white text, whichever reads better, on the step as a background."""

    def __post_init__(self) -> None:
        if len(self.glyphs) != len(self.colors):
            raise ValueError(f"{len(self.glyphs)} glyphs for {len(self.colors)} colours")
        if self.centred and len(self.colors) % 2 == 0:
            raise ValueError(f"a centred ramp has a middle step; {len(self.colors)} is even")
        rich = [Color.from_rgb(*rgb) for rgb in self.colors]
        text = [Color.from_rgb(*readable_on(rgb)) for rgb in self.colors]
        styles = {
            "fills": tuple(Style(bgcolor=color) for color in rich),
            "inks": tuple(Style(color=color) for color in rich),
            "contrasts": tuple(
                Style(color=ink, bgcolor=color, bold=True)
                for ink, color in zip(text, rich, strict=True)
            ),
        }
        for name, value in styles.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.colors)

    def index(self, value: float | None, low: float, high: float) -> int:
        """The step that shows `value`.

        Args:
            value: the number; None and NaN give `PENDING`.
            low: the number the first step means. A centred ramp reads both ends as distances from
                zero and takes the larger, so that one step means one size on both sides. Its steps
                go by the square root of the size: a few large changes would else hide all others.
            high: the number the last step means.
        """
        if value is None or math.isnan(value):
            return PENDING
        last = len(self.colors) - 1
        if self.centred:
            reach = max(abs(low), abs(high))
            size = 0.0 if reach == 0 else math.sqrt(abs(value) / reach)
            share = 0.5 + 0.5 * math.copysign(size, value)
        else:
            share = 0.0 if high <= low else max(0.0, (value - low) / (high - low))
            if self.rooted:  # ten steps begin at 0, 1, 4, 9, 16 … percent
                return min(math.floor(math.sqrt(min(share, 1.0)) * len(self.colors)), last)
        # Plain rounding at the half would favour one side; mirroring it keeps the sides alike.
        place = min(max(share, 0.0), 1.0) * last
        if self.centred and place < last / 2:
            return last - math.floor(last - place + 0.5)
        return math.floor(place + 0.5)


def luminance(color: Rgb) -> float:
    """Relative luminance of an sRGB colour, 0 black to 1 white."""

    def linear(level: int) -> float:
        share = level / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = map(linear, color)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def readable_on(background: Rgb) -> Rgb:
    """Black or white: the one with more contrast on `background`."""
    return _BLACK if luminance(background) > 0.179 else _WHITE


def blend(color: Rgb, background: Rgb, share: float) -> Rgb:
    """`color` mixed into `background`; `share` 1 leaves it as it is."""
    red, green, blue = (
        round(under + (over - under) * share) for over, under in zip(color, background, strict=True)
    )
    return red, green, blue


def needs_glyphs(app: App[object]) -> bool:
    """Whether this terminal has too few colours for a ramp: 16 or fewer, or NO_COLOR is set."""
    return app.no_color or app.console.color_system in (None, "standard", "windows")


_SHADES = "·░▒▓█"
_TEXTURES = "+++*#"
"""The helping side where colour cannot tell it from the harming one, the least of it a plus."""


def _spread(glyphs: str, steps: int) -> str:
    return "".join(glyphs[round(i * (len(glyphs) - 1) / (steps - 1))] for i in range(steps))


_DIVERGING_GLYPHS = "█▓▓▒░" + "·" + _TEXTURES

_CHANGE_DARK = Ramp(
    colors=(
        (255, 215, 135),
        (255, 135, 0),
        (215, 95, 0),
        (175, 0, 0),
        (135, 0, 0),
        (38, 38, 38),
        (0, 95, 135),
        (0, 135, 175),
        (0, 175, 215),
        (95, 215, 255),
        (175, 255, 255),
    ),
    glyphs=_DIVERGING_GLYPHS,
    centred=True,
)
_CHANGE_LIGHT = Ramp(
    colors=(
        (95, 0, 0),
        (175, 0, 0),
        (215, 95, 0),
        (255, 135, 0),
        (255, 215, 135),
        (255, 255, 215),
        (135, 215, 255),
        (0, 175, 255),
        (0, 135, 215),
        (0, 95, 175),
        (0, 0, 95),
    ),
    glyphs=_DIVERGING_GLYPHS,
    centred=True,
)
_AMOUNT_COLORS: tuple[Rgb, ...] = (
    (38, 38, 38),
    (95, 0, 135),
    (95, 0, 215),
    (0, 95, 175),
    (0, 135, 175),
    (0, 175, 135),
    (95, 215, 135),
    (175, 215, 95),
    (215, 255, 95),
    (255, 255, 175),
)
_AMOUNT_DARK = Ramp(_AMOUNT_COLORS, _spread(_SHADES, len(_AMOUNT_COLORS)), centred=False)
_AMOUNT_LIGHT = Ramp(
    (*reversed(_AMOUNT_COLORS[1:]), (0, 0, 95)),
    _spread(_SHADES, len(_AMOUNT_COLORS)),
    centred=False,
)
_SHARE_DARK, _SHARE_LIGHT = (replace(each, rooted=True) for each in (_AMOUNT_DARK, _AMOUNT_LIGHT))


_BRIGHT_CHANGE = Ramp(
    colors=(
        (255, 255, 175),
        (255, 215, 0),
        (255, 135, 0),
        (215, 95, 0),
        (175, 0, 0),
        (38, 38, 38),
        (0, 95, 175),
        (0, 135, 215),
        (0, 175, 255),
        (135, 215, 255),
        (215, 255, 255),
    ),
    glyphs=_DIVERGING_GLYPHS,
    centred=True,
)
_BLUE_ORANGE = Ramp(
    colors=(
        (255, 215, 135),
        (255, 175, 0),
        (215, 135, 0),
        (175, 95, 0),
        (135, 95, 0),
        (38, 38, 38),
        (0, 95, 175),
        (0, 135, 215),
        (95, 175, 255),
        (135, 215, 255),
        (175, 255, 255),
    ),
    glyphs=_DIVERGING_GLYPHS,
    centred=True,
)
_CHANGES = {"workbench-high-contrast": _BRIGHT_CHANGE, "workbench-colour-blind": _BLUE_ORANGE}
"""The ramps of changes of themes that have their own."""


def change_ramp(theme: Theme | None = None) -> Ramp:
    """Harm (orange, first) to help (blue, last) around a quiet zero; None: on any dark theme."""
    if theme is None:
        return _CHANGE_DARK
    return _CHANGES.get(theme.name, _CHANGE_DARK if theme.dark else _CHANGE_LIGHT)


def amount_ramp(theme: Theme | None = None) -> Ramp:
    """Nothing to much, quiet to loud on this kind of theme; None: on any dark one."""
    return _AMOUNT_DARK if theme is None or theme.dark else _AMOUNT_LIGHT


def share_ramp(theme: Theme | None = None) -> Ramp:
    """Shares of a whole in the same colours, by their square root: one large share would else hide
    all others."""
    return _SHARE_DARK if theme is None or theme.dark else _SHARE_LIGHT


def ramp_of(theme: Theme | None, *, centred: bool, rooted: bool = False) -> Ramp:
    """The ramp of changes, of amounts, or of shares."""
    if centred:
        return change_ramp(theme)
    return share_ramp(theme) if rooted else amount_ramp(theme)


def ink(widget: Widget, name: str) -> Style:
    """A component's foreground alone, for cells that bring their own background."""
    style = widget.get_component_rich_style(name)
    return style.without_color + Style(color=style.color)


def solid(widget: Widget, name: str) -> Style:
    """A component's foreground as a colour that may also fill half a cell.

    In an ANSI theme the foreground is whatever the terminal writes in, which as a background would
    be the terminal's background.
    """
    style = ink(widget, name)
    if style.color is not None and style.color.triplet is not None:
        return style
    level = 255 if widget.app.current_theme.dark else 0
    return style + Style(color=Color.from_rgb(level, level, level))
