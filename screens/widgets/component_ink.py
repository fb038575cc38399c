"""The foreground of a widget's component class, without its background."""

from __future__ import annotations

from rich.color import Color
from rich.style import Style
from textual.widget import Widget


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
