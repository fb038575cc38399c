"""An analysis is one declaration: two toys, known to nothing but their own file, are everywhere."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from command_lines import CASE
from piloting import driving
from textual.widgets import Input
from toy_map import StreamMapStep
from toy_norms import NormsStep, stream_norms

from analysis.step import REGISTRY
from analysis.tasks.prompts import Prompt
from screens.widgets.cell_map import Position, PositionMap
from sessions import Session

LAYERS = 3
KILLED = """
import os, signal, sys
import toy_norms
from analysis.step import REGISTRY

REGISTRY["norms"] = toy_norms.NormsStep
whole = toy_norms.stream_norms

def dying(*arguments):
    for number, found in enumerate(whole(*arguments)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield found

toy_norms.stream_norms = dying
from workbench.cli import run

sys.exit(run(sys.argv[1:]))
"""
REPLAYED = """
import sys

sys.modules |= dict.fromkeys(("torch", "transformers", "peft", "accelerate"))  # not to be imported
import toy_norms
from analysis.step import REGISTRY

REGISTRY["norms"] = toy_norms.NormsStep
from workbench.cli import run

sys.exit(run(sys.argv[1:]))
"""
ON_SCREEN = """
import asyncio, sys

sys.modules |= dict.fromkeys(("torch", "transformers", "peft", "accelerate"))  # not to be imported
import toy_norms
from analysis.step import REGISTRY

REGISTRY["norms"] = toy_norms.NormsStep
from analysis.tasks.standard import task
from screens.workspace import Workspace
from sessions import Session
from workbench.app import WorkbenchApp

async def main():
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(Session.open("mine"))
    app = WorkbenchApp(workspace, None)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("left_curly_bracket")
        await pilot.pause()
        print(app.screen.name, app.screen.query_one("#curve-rows").shown)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    """Makes the toys steps that are known, as importing their file does."""
    monkeypatch.setitem(REGISTRY, "norms", NormsStep)
    monkeypatch.setitem(REGISTRY, "streammap", StreamMapStep)


def process(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A program run to its end; it finds the toys where this test does."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    path = str(Path(__file__).parents[1] / "support")
    env = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def plain_norms(model, text):
    """What the toy measures, in Hugging Face's own words."""
    import torch

    ids = torch.tensor([model.encode(Prompt(prompt=text)).ids])
    with torch.no_grad():
        states = model.hf(ids, output_hidden_states=True).hidden_states
    return [state[0, -1].norm().item() for state in states[:LAYERS]]


def test_it_is_a_command_with_help_and_errors_like_the_others(workbench, on_tiny, tiny_model):
    assert "Measure how long the residual stream is" in workbench("--help").out
    help = workbench("norms", "--help").out
    assert "--first" in help
    assert "The lowest layer that is looked at. [default: 0; x>=0]" in " ".join(help.split())
    assert "--session" in help
    document = on_tiny("norms", *CASE, "--json").document
    found = [row["norm"] for row in document["rows"]]
    assert found == pytest.approx(plain_norms(tiny_model, "3 + 5 = "), rel=1e-5)
    refused = workbench("norms", "--first", "x")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "--first" in refused.err
    assert workbench("norms").err == ('workbench: no prompt; give one with --prompt "3 + 5 = "\n')
    outside = workbench("norms", *CASE, "--first", "7", "--model", "tiny")
    assert outside.code == 2


def test_a_shell_completes_it(workbench):
    from typer.main import get_command

    from workbench.cli.app import make_app

    tree = get_command(make_app())
    assert "norms" in tree.commands
    assert "--squared" in {flag for each in tree.commands["norms"].params for flag in each.opts}


def test_it_is_a_kind_of_a_plan(tmp_path, workbench, tiny):
    plan = tmp_path / "night.toml"
    plan.write_text(
        'session = "night"\n'
        "[[step]]\nkind = 'norms'\nprompt = '3 + 5 = '\nfirst = 1\nsquared = true\n"
    )
    done = workbench("run", plan, *tiny)
    assert done.code == 0, done.err
    (recorded,) = Session.open("night").steps
    assert recorded.step == NormsStep(prompt=Prompt(prompt="3 + 5 = "), first=1, squared=True)
    plan.write_text("[[step]]\nkind = 'norms'\nfrist = 1\n")
    refused = workbench("run", plan, "--list")
    assert "unknown key 'frist' (did you mean first?)" in refused.err


async def test_the_list_of_keys_asks_for_it_in_a_form_with_its_defaults(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("colon")
        await user.type("norms")
        await user.press("enter")
        assert user.here == "Form"
        values = {each.name: each.value for each in user.app.screen.query(Input)}
        assert values == {"first": "0", "squared": "no"}
        await user.type("9")
        await user.press("enter")
        assert "layer 9 is out of range; tiny has layers 0 to 2" in user.text("Problem")
        await user.type("1")
        await user.press("enter")
        await user.until(lambda: user.workspace.results)
        await user.settled()
        (result,) = user.workspace.results
        assert result.step == NormsStep(prompt=user.workspace.prompt, first=1)
        assert (result.state, result.done) == ("done", 2)
        assert user.here == "result"
        assert "norm" in user.text("#at-cursor")
        assert "│█" in user.seen  # a curve: its values have bars


async def test_one_of_layers_and_positions_is_a_map_with_the_prompt_below(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("colon")
        await user.type("streammap")
        await user.press("enter", "enter")
        await user.until(lambda: user.workspace.results)
        await user.settled()
        (result,) = user.workspace.results
        assert (user.here, result.state) == ("result", "done")
        shown = user.app.screen.query_one(PositionMap)
        positions = result.rows["position"].n_unique()
        assert shown.shape == (positions, LAYERS)
        rows = {(row["layer"], row["position"]): row["norm"] for row in result.rows.to_dicts()}
        assert {place: shown.value(Position(*place)) for place in rows} == pytest.approx(rows)
        strongest = max(rows, key=rows.__getitem__)
        assert user.text("#at-cursor").strip().startswith(f"L{strongest[0]}@{strongest[1]}")


def test_a_recorded_one_is_on_its_screen_where_there_is_no_torch(on_tiny):
    on_tiny("norms", *CASE, "--session", "mine")
    shown = process(ON_SCREEN)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip() == "result 3"


def test_a_killed_one_goes_on_where_it_was(workbench, tiny, tiny_model):
    on = tiny
    killed = process(KILLED, "norms", *CASE, "--session", "mine", *on)
    assert killed.returncode == -9, killed.stderr
    (recorded,) = Session.open("mine").steps
    assert (recorded.state, recorded.done_rows) == ("interrupted", 2)
    before = recorded.rows()
    done = workbench("resume", "mine", *on)
    assert done.code == 0, done.err
    (recorded,) = Session.open("mine").steps
    assert (recorded.state, recorded.done_rows) == ("done", LAYERS)
    assert recorded.rows().head(2).equals(before)
    assert recorded.rows()["norm"].to_list() == pytest.approx(
        [norm for _, norm in stream_norms(tiny_model, recorded.step.prompt, range(LAYERS))]
    )


def test_it_is_replayed_where_there_is_no_torch(on_tiny):
    on_tiny("norms", *CASE, "--session", "mine")
    shown = process(REPLAYED, "sessions", "show", "mine", "--step", "1")
    assert shown.returncode == 0, shown.stderr
    assert re.findall(r"L[012] ", shown.stdout) == ["L0 ", "L1 ", "L2 "]
    document = process(REPLAYED, "sessions", "show", "mine", "--step", "1", "--json")
    assert '"kind": "norms"' in document.stdout


def test_the_pages_of_steps_and_commands_have_it():
    for script, words in (("steps", "## norms\n\nMeasure how"), ("cli", "## `workbench norms`")):
        path = Path(__file__).parents[2] / "docs" / f"{script}.py"
        assert words in runpy.run_path(str(path))["page"]()
