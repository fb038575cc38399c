"""The themes there are, readable by measure: for dark and light rooms, for eyes that need more.

Text, muted text, accent and errors stand at least 4.5 to 1 against what lies behind them, 7 to 1 in
the high contrast; the colours of the last theme also differ for eyes that take red for green.
"""

from __future__ import annotations

from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.theme import Theme

from screens.colours import Rgb

DARK = Theme(
    name="workbench-dark",
    primary="#5fafaf",
    secondary="#87afd7",
    accent="#ffaf5f",
    foreground="#d7d7d7",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    success="#87af87",
    warning="#d7af5f",
    error="#ff8787",
    dark=True,
)
LIGHT = Theme(
    name="workbench-light",
    primary="#005f5f",
    secondary="#005f87",
    accent="#8a4b00",
    foreground="#1c1c1c",
    background="#ffffff",
    surface="#eeeeee",
    panel="#e4e4e4",
    success="#005f00",
    warning="#5f5f00",
    error="#af0000",
    dark=False,
)
HIGH_CONTRAST = Theme(
    name="workbench-high-contrast",
    primary="#5fffff",
    secondary="#87d7ff",
    accent="#ffd700",
    foreground="#ffffff",
    background="#000000",
    surface="#121212",
    panel="#1c1c1c",
    success="#87ff87",
    warning="#ffff5f",
    error="#ffafaf",
    dark=True,
    variables={"text": "#ffffff", "text-muted": "#d0d0d0"},
)
COLOUR_BLIND = Theme(
    name="workbench-colour-blind",
    primary="#5fafd7",
    secondary="#87afd7",
    accent="#ffaf00",
    foreground="#d7d7d7",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    success="#5fd7ff",
    warning="#ffd75f",
    error="#ff875f",
    dark=True,
)
THEMES = {each.name: each for each in (DARK, LIGHT, HIGH_CONTRAST, COLOUR_BLIND)}
"""All that are offered, the one that ships first."""


def named_colours(theme: Theme) -> TerminalTheme:
    """What `red`, `green`, `yellow` and so on are in a theme: its error, success, warning."""

    def rgb(color: str | None) -> Rgb:
        return Color.parse(color or theme.primary).rgb

    ink = rgb(theme.foreground)
    colours = [
        rgb(theme.background),
        *(rgb(each) for each in (theme.error, theme.success, theme.warning)),
        *(rgb(each) for each in (theme.secondary, theme.accent, theme.primary)),
        ink,
    ]
    return TerminalTheme(rgb(theme.background), ink, colours, colours)
