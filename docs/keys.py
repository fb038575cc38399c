"""Writes docs/keys.md from the bindings of the screens: `make docs`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from textual.keys import format_key

from analysis.folders import write_durably
from screens.markdown import table
from workbench.keymap import Action, actions

PAGE = Path(__file__).with_suffix(".md")
OPENING = """# Keys

`?` shows the keys of the screen in front. `:` or `ctrl+p` finds everything by a few letters of its
words: the actions of all screens, tasks, steps, sessions, settings, pages of help. Nothing needs a
mouse. This page is written from the bindings themselves. The names on the right are for the
settings file:

```toml
[keys]
"heads.top-head" = "n"
"app.back-stop" = "escape,ctrl+c"
```

`esc` undoes the nearest thing, on every screen in this order: it closes the dialog, drops the
filter, takes the marks away, stops the step that the screen is computing (what is finished is
kept), and goes back to the screen before. `q` goes back at once.

Hints, notices, the guide and the line of screens name the keys in force. The few keys of dialogs
(`esc`, `enter`, `y`, `n` and those they show) stay as they are.
"""


def page() -> str:
    """The actions of the program, of its screens and of what they share."""
    sections = groupby(actions(), key=lambda action: action.place)
    return "\n".join([OPENING, *(_section(place, list(each)) for place, each in sections)])


def _section(place: str, own: list[Action]) -> str:
    rows = [
        [" ".join(f"`{format_key(key)}`" for key in each.keys), each.words, f"`{each.id}`"]
        for each in own
    ]
    return f"## {place}\n\n{table(['key', 'does', 'name'], rows, [False] * 3)}\n"


if __name__ == "__main__":
    write_durably(PAGE, page().encode())
