"""The documentation says what the code does."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from tiny_folder import HEADS_IN_ALL

from analysis.changes import Changes
from analysis.tasks.prompts import Prompt

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


GENERATED = [
    ("steps.py", "steps.md"),
    ("cli.py", "cli.md"),
    ("keys.py", "keys.md"),
    ("paper.py", "paper-on-smollm2.md"),
    ("ioi.py", "ioi-on-smollm2.md"),
]


@pytest.mark.parametrize(("script", "page"), GENERATED)
def test_generated_pages_are_what_they_are_made_from(script, page):
    spec = importlib.util.spec_from_file_location(f"docs_{page}", DOCS / script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / page).read_text("utf-8") == module.page(), "run `make docs`"


PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{each.name}" for each in DOCS.glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_that_are_there(page):
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
    assert [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_script_that_loads_an_export_prints_the_live_variant_s_probabilities(
    on_tiny, tiny_model, tmp_path, monkeypatch, capsys
):
    change = Changes.parse(["L1H2", "L0N5=0.5"])
    options = [part for text in change.texts for part in ("--change", text)]
    on_tiny("export", tmp_path / "out", *options)
    page = (DOCS / "export.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setattr(sys, "argv", ["script.py", str(tmp_path / "out"), "3 + 5 = "])
    capsys.readouterr()
    exec(script, {})
    done = capsys.readouterr()
    ids = tiny_model.encode(Prompt(prompt="3 + 5 = ")).ids
    with torch.no_grad(), tiny_model.changed(change.interventions):
        live = torch.softmax(tiny_model.hf(torch.tensor([ids])).logits[0, -1], -1).topk(5)
    printed = [line.split(" ")[:2] for line in done.out.splitlines()]
    expected = zip(live.values.tolist(), live.indices.tolist(), strict=True)
    assert printed == [[f"{chance:.6f}", str(token)] for chance, token in expected]


def test_the_notebook_runs_from_its_first_line_to_its_last(tiny_folder, capsys):
    """On a tiny model: its name and its neuron are all that is other."""
    cells = re.findall(r"```python\n(.*?)```", (DOCS / "notebook.md").read_text("utf-8"), re.DOTALL)
    names: dict[str, object] = {}
    for cell in cells:
        exec(cell.replace("smollm2-135m", str(tiny_folder)).replace("L24N1493", "L2N4"), names)
    heads, neurons, rows = (names[each] for each in ("heads", "neurons", "rows"))
    assert heads.height == HEADS_IN_ALL
    assert heads["accuracy"].is_sorted()
    assert rows.height == neurons.height == 20


def test_every_command_of_the_readme_is_one(capsys):
    from workbench.cli import run

    text = (ROOT / "README.md").read_text("utf-8")
    commands = set(re.findall(r"^workbench ([a-z]+)", text, re.MULTILINE))
    assert len(commands) > 5
    for command in commands:
        assert run([command, "--help"]) == 0, command
        capsys.readouterr()
