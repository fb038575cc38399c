"""What the answer is made of: layers, heads, parts, neurons, and the tokens of the prompt."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hands import Idle
from hostile import cells, harmless
from hostile import tokens as hostile_tokens
from made_up import CONTRARY, shaded, taken_apart
from piloting import Driver, driving
from replays import replay_of

from screens.messages import ChangesStaged, StepRequested
from screens.widgets.cell_map import HeadMap
from screens.widgets.prompt_text import PromptText
from screens.widgets.token_strip import TokenStrip


@pytest.fixture(autouse=True)
def _colours(monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@asynccontextmanager
async def showing(*results, screen="direct", size=(80, 24), replaying=False):
    """A user in front of a screen of a workbench that has these results."""
    workspace, messages = replay_of("example:addition"), []
    workspace.replaying, model = replaying, workspace.model
    workspace.results = [
        replace(each, id=f"{place}-{each.id}", model=model) for place, each in enumerate(results)
    ]
    app = Idle(workspace)
    async with app.run_test(size=size, message_hook=messages.append) as pilot:
        user = Driver(app, pilot)
        user.asked = lambda: [each.step for each in messages if isinstance(each, StepRequested)]
        user.messages = messages
        app.action_visit(screen)
        await pilot.pause()
        yield user


def lines(user) -> list[str]:
    return user.seen.splitlines()


async def test_an_answer_is_seen_by_layer_with_its_sum_then_as_a_map_then_part_by_part():
    async with showing(taken_apart()) as user:
        assert "sum −0.250 = logit difference −0.250 ✓" in user.text("#title")
        first = next(each for each in lines(user) if "L11" in each)
        assert first.split()[:4] == ["▌", "L11", "+2.000", "│██████"]
        assert "−0.250" in first  # so far: all of it
        assert "L11   attention +2.000   FFN −1.375" in user.text("#at-cursor")
        assert "embedding 0.500 + heads 7.500 + FFNs −8.250" in user.text("#at-cursor")
        await user.press("tab")
        assert user.app.screen.query_one(HeadMap).cursor.layer == 11
        assert "L11H1   logit difference +2.000   log-prob +1.000" in user.text("#at-cursor")
        await user.press("m")
        assert "logprob increase" in user.seen
        await user.press("tab")
        table = user.table
        assert table.current_key == "L11H1"
        assert "rank 1 of 121" in user.text("#at-cursor")
        await user.press("down", "down")
        assert "L10F" in user.text("#at-cursor") or "L9H1" in user.text("#at-cursor")
        await user.press("slash", *"L3F", "enter")
        assert table.shown == 1
        await user.press("escape", "tab")
        assert "so far" in user.seen


async def test_a_sum_that_misses_is_told():
    broken = taken_apart()
    broken = replace(broken, baseline=broken.baseline | {"sum": 1.0, "off": 4.625})
    async with showing(broken) as user:
        assert "sum 1.000 ≠ logit difference −0.250 ✗ off by 4.625" in user.text("#title")


async def test_parts_are_read_staged_looked_at_and_taken_apart_further():
    async with showing(taken_apart()) as user:
        await user.press("enter", "v", "x", "o")
        assert user.asked()[-1].source == "residual:11"
        assert len(user.asked()) == 1
        assert any("Changes are of heads and neurons" in each for each in user.app.told)
        await user.press("tab", "enter", "v", "o", "n", "i", "x")
        read, looked, sources, neurons, inputs = user.asked()[1:]
        assert (read.source, read.prompt) == ("L11H1", CONTRARY)
        assert "L11H1" in looked.about
        assert (sources.kind, *map(str, sources.sources)) == ("direct", "L11H1")
        assert (neurons.unit, neurons.sources) == ("neuron", None)
        assert (inputs.kind, inputs.prompt) == ("inputs", CONTRARY)
        staged = [each for each in user.messages if isinstance(each, ChangesStaged)]
        assert str(staged[0].changes).startswith("L11H1")
    async with showing(taken_apart(unit="neuron")) as user:
        assert "direct · top 100 neurons" in user.text("#title")
        assert "L0N0" in user.text("#at-cursor")
        await user.press("enter", "x", "tab")
        assert user.asked()[0].source == "L0N0"
        assert (user.asked()[-1].unit, user.asked()[-1].sources) == ("head", None)
        await user.press("v")
        assert user.app.told[-1].startswith("Only attention heads look at tokens")


async def test_a_head_by_token_shades_the_prompt_and_comes_back_to_what_is_there():
    async with showing(taken_apart(), taken_apart(sources=("L1H0",))) as user:
        assert "L1H0 by position" in user.text("#title")
        text = user.app.screen.query_one(PromptText)
        segments = [each for y in range(text.size.height) for each in text.render_line(y)]
        styles = {each.text: each.style for each in segments}
        assert styles["When"].bgcolor != styles["␣the"].bgcolor  # takes, adds
        assert styles["␣went"].bgcolor not in (styles["When"].bgcolor, styles["␣the"].bgcolor)
        assert 'L1H0@9  "␣John"   logit difference +5.000' in user.text("#at-cursor")
        assert "L1H0 from these positions together +5.000" in user.text("#at-cursor")
        assert text.cursor == 9
        await user.press("g")
        assert text.cursor == 0
        await user.press("tab")
        assert not user.asked()
        assert "so far" in user.seen
        await user.press("tab", "o")  # another head, which nobody took apart yet
        assert user.asked()[-1].sources


@pytest.mark.parametrize("glyphs", [False, True], ids=["colours", "glyphs"])
async def test_tokens_of_the_prompt_are_shaded_here_and_on_screen_1(glyphs, monkeypatch):
    if glyphs:
        monkeypatch.setenv("NO_COLOR", "1")
    async with showing(shaded()) as user:
        assert "sum 4.990 of 5.000" in user.text("#title")
        assert '@9  "␣John"   integrated gradients +5.000' in user.text("#at-cursor")
        assert "logit difference 1.100 → 6.100" in user.text("#at-cursor")
        await user.press("m")
        assert "gradient input" in user.seen
        workspace = user.workspace
        workspace.prompts = workspace.prompts.model_copy(update={"prompts": (CONTRARY,)})
        workspace.reading = None
        for replaying in (False, True):
            workspace.replaying = replaying
            user.app.action_visit("prompts")
            await user.pilot.pause()
            strip = user.app.screen.query_one(TokenStrip)
            drawn = [each for y in range(3) for each in strip.render_line(y)]
            styles = {each.text: each.style for each in drawn}
            if glyphs:
                assert any("#" in each.text for each in drawn)
            else:
                assert styles["When"].bgcolor != styles["␣John"].bgcolor
            assert "integrated gradients" in user.text("#reads")
        workspace.results = []
        user.app.screen.refresh_all()
        assert "integrated gradients" not in user.text("#reads")


async def test_screen_1_asks_for_it_with_the_wrong_answer_of_the_case():
    async with showing(screen="prompts") as user:
        workspace = user.workspace
        workspace.prompts = workspace.prompts.model_copy(update={"prompts": (CONTRARY,)})
        user.app.screen.refresh_all()
        await user.press("d")
        asked = user.asked()[-1]
        assert (asked.kind, asked.prompt.wrong) == ("direct", " John")
    async with showing() as user:
        assert "What the answer is made of" in user.seen
        await user.press("tab", "n", "enter", "x", "v", "m", "b", "y", "slash")
        assert not user.asked()
        await user.press("r")
        assert user.asked()[0].kind == "direct"


async def test_how_it_was_looked_at_is_kept_and_put_back():
    async with showing(taken_apart()) as user:
        screen = user.app.screen
        await user.press("tab", "left", "m")
        view = screen.view()
        screen.show_view({})
        assert screen.view()["face"] == "layers"
        screen.show_view(view)
        assert screen.view() == view
        for lie in ({"face": 7}, {"face": "heads", "cursor": "x"}, {"face": "parts", "rows": 3}):
            screen.show_view(lie)
        assert screen.view()["face"] == "parts"


async def test_a_replay_shows_all_of_it_and_runs_nothing():
    async with showing(taken_apart(), shaded(), replaying=True) as user:
        await user.press("tab", "tab", "n", "o", "x", "r")
        assert "Not recorded here" in " ".join(user.app.told)
        assert not any("error" in each.lower() for each in user.app.told)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 36)])
async def test_rows_and_tokens_of_anybody_are_drawn(size):
    nasty = [each.encode("utf-8", "replace").decode() for each in hostile_tokens(40, seed=3)]
    plain = taken_apart()
    lies = plain.rows.with_columns(
        logit_difference=float("nan"), name=nasty[3] + plain.rows["name"]
    )
    many = replace(shaded(), baseline={"tokens": nasty, "metric": 7, "sum": "x", "off": None})
    for made in (
        replace(plain, held=replace(plain.held, rows=lies), baseline={"heads": "x", "metric": []}),
        replace(plain, held=replace(plain.held, rows=plain.rows.clear()), baseline={}),
        many,
    ):
        async with showing(made, size=size) as user:
            await user.press("tab", "down", "m", "tab", "enter", "o", "x", "Y", "V", "escape")
            assert all(harmless(each) and cells(each) <= size[0] for each in lines(user))


async def test_a_case_is_taken_apart_live_and_then_all_of_them(live):
    async with driving(live(), (80, 24)) as user:
        await user.settled()
        await user.press("d")
        await user.settled()
        assert user.here == "direct"
        assert "= logit " in user.text("#title")
        assert "✓" in user.text("#title")
        await user.press("tab", "o")
        await user.settled()
        assert "by position" in user.text("#title")
        assert user.result.baseline["sources_off"] < 1e-4
        await user.press("i")
        await user.settled()
        assert user.result.step.kind == "inputs"
        await user.press("tab", "C", *"all", "enter")
        await user.settled()
        assert user.result.step.kind == "direct_cases"
        assert "…" in user.text("#at-cursor")  # its interval
