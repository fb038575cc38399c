"""SVG pictures of a terminal that can be shared."""

from __future__ import annotations

import re


def portable(svg: str, name: str) -> str:
    """An SVG that fetches nothing: in the reader's own monospace font, its names always the same.

    Args:
        svg: as Textual exports it.
        name: tells its names from those of other pictures on a page.
    """
    svg = re.sub(r"@font-face\s*\{[^}]*\}\s*", "", svg)
    svg = re.sub(r"terminal-\d+", f"workbench-{name}", svg)
    return svg.replace("Fira Code", "ui-monospace")
