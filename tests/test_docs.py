"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.mark.parametrize(
    ("script", "page"), [("steps.py", "steps.md"), ("paper.py", "paper-on-smollm2.md")]
)
def test_generated_pages_are_what_they_are_made_from(script, page):
    spec = importlib.util.spec_from_file_location(f"docs_{page}", DOCS / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / page).read_text("utf-8") == module.page(), "run `make docs`"


PAGES = ["README.md", "CONTRIBUTING.md", "docs/method.md", "docs/paper-on-smollm2.md"]


@pytest.mark.parametrize("page", PAGES)
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
