"""Writes docs/cli.md from the command tree: `make docs`."""

from __future__ import annotations

from pathlib import Path

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from analysis.folders import write_durably
from workbench.cli.app import make_app

PAGE = Path(__file__).with_suffix(".md")


def page() -> str:
    """Every command with its arguments and options."""
    tree = get_command(make_app(settings="~/.config/workbench/config.toml"))
    text: str = get_docs_for_click(
        obj=tree, ctx=Context(tree), name="workbench", title="workbench, command by command"
    )
    return text


if __name__ == "__main__":
    write_durably(PAGE, page().encode())
