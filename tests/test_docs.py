"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def test_the_page_of_steps_is_what_the_steps_declare():
    spec = importlib.util.spec_from_file_location("docs_steps", DOCS / "steps.py")
    assert spec is not None
    assert spec.loader is not None
    steps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(steps)
    assert (DOCS / "steps.md").read_text("utf-8") == steps.page(), "run `make docs`"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/method.md"])
def test_links_lead_to_files_that_are_there(page):
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_every_command_of_the_readme_is_one(capsys):
    from workbench.cli import run

    text = (ROOT / "README.md").read_text("utf-8")
    commands = set(re.findall(r"^workbench ([a-z]+)", text, re.MULTILINE))
    assert len(commands) > 5
    for command in commands:
        assert run([command, "--help"]) == 0, command
        capsys.readouterr()
