"""`workbench replay`: look at a recorded session on the screens it was made on."""

from __future__ import annotations

from typing import Annotated

import typer


def replay(
    name: Annotated[str, typer.Argument(help="A session, or example:NAME.", show_default=False)],
) -> None:
    """Open a session in the terminal UI, with no model."""
    from sessions import Session
    from workbench.cli import options
    from workbench.tui import open_replay

    open_replay(Session.open(name), options.settings())
