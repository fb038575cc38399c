"""Edges of a pair as a graph on screen 5: drawn, walked, read, zeroed, and as a table."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from hands import Idle
from hostile import NASTY
from made_up import PAIR, PAIRS, edges, gains, result
from piloting import Driver
from recorded_chain import recorded_result
from replays import replay_of

from analysis.steps import AblateStep, FaithfulnessStep
from screens.messages import ChangesStaged, StepRequested
from screens.widgets.chain_view import ChainView
from screens.widgets.frame_table import FrameTable


@asynccontextmanager
async def showing(*results, size=(80, 24)):
    """A user in front of screen 5 of a workbench that has these results."""
    workspace, messages = replay_of("example:addition"), []
    workspace.replaying, model = False, workspace.model
    workspace.results = [replace(each, model=model) for each in results]
    app = Idle(workspace)
    async with app.run_test(size=size, message_hook=messages.append) as pilot:
        user = Driver(app, pilot)
        user.asked = lambda kind: [each for each in messages if isinstance(each, kind)]
        app.action_visit("chain")
        await pilot.pause()
        yield user


def at(user, name: str) -> None:
    user.app.screen.query_one(ChainView).cursor = name


def cursor(user) -> str:
    return user.app.screen.query_one(ChainView).cursor


async def test_edges_are_drawn_and_walked_from_the_words_to_the_logits():
    async with showing(edges()) as user:
        assert cursor(user) == "L23H3"
        assert "logit difference  clean 6.12  corrupt −5.49" in user.text("#title")
        assert "8 of 8 edges" in user.text("#lines")
        line = next(each for each in user.seen.splitlines() if "embedding" in each)
        assert "embedding ━" in line
        assert "▶ L0F ─" in line
        assert "▷ logits" in user.seen or "▶ logits" in user.seen
        await user.press("l")
        assert cursor(user) == "logits"
        at(user, "embedding")
        await user.press("right", "l")
        assert cursor(user) == "L23KV1"
        await user.press("l")  # the one of its heads that is in sight
        assert cursor(user) == "L23H3"
        at(user, "L26F")
        await user.press("h")
        assert cursor(user) == "L23H3"
        await user.press("h", "left")
        assert cursor(user) == "L20H0"


async def test_the_reading_says_exact_values_beside_estimates_and_estimates_alone():
    async with showing(edges()) as user:
        await user.pilot.pause()
        assert "L23H3  head of layer 23 · edges 1 in, 2 out" in user.text("#node")
        assert "q←L20F +0.31 +0.28~" in user.text("#node")
        assert "logits −6.19 −6.15~   L26F −1.20 −1.36~" in user.text("#node")
        at(user, "L26F")
        await user.pilot.pause()
        assert "feeds      logits −1.00~" in user.text("#node")
        at(user, "L23KV1")
        await user.pilot.pause()
        assert "key/value head of L23H3 to L23H5" in user.text("#node")


async def test_more_edges_and_fewer_the_strongest_first_and_all_of_a_chain():
    async with showing(edges()) as user:
        await user.press("minus")
        assert "4 of 8 edges" in user.text("#lines")
        assert "L20H0" not in user.seen
        await user.press("plus")
        assert "L20H0" in user.seen
        assert "8 of 8 edges" in user.text("#lines")
    async with showing(recorded_result()) as user:
        await user.press("plus")
        assert user.app.told[-1] == "All edges of the chain are in sight."


async def test_a_node_is_zeroed_on_the_pairs_and_its_worth_read():
    async with showing(edges()) as user:
        for name, heads in (("L23H3", "L23H3"), ("L23KV1", "L23H3,L23H4,L23H5")):
            at(user, name)
            await user.press("z")
            asked = user.asked(StepRequested)[-1]
            assert asked.stay
            assert asked.step.prompts == PAIRS
            assert [each.names for each in asked.step.sets] == [heads]
        for name, reason in (("L0F", "An FFN cannot be zeroed"), ("logits", "cannot be zeroed")):
            at(user, name)
            await user.press("z", "space")
            assert all(reason in told for told in user.app.told[-2:])
        assert len(user.asked(StepRequested)) == 2
    step = AblateStep.model_validate({"prompts": PAIRS, "sets": [{"heads": ["L23H3"]}]})
    ablated = result(step, [{"name": "L23H3", "prob": 0.25, "logprob": -1.4, "accuracy": 0.0}])
    ablated = replace(ablated, baseline={"prob": 0.9, "logprob": -0.1, "accuracy": 1.0})
    async with showing(ablated, edges()) as user:
        await user.pilot.pause()
        assert 'without it p("␣Mary") 0.900 → 0.250' in user.text("#node")
        await user.press("z")
        assert not user.asked(StepRequested)  # it is known


async def test_enter_reads_a_node_and_x_stages_it():
    async with showing(edges()) as user:
        await user.press("enter")
        step = user.asked(StepRequested)[-1].step
        assert (step.kind, step.prompt, step.ablate.names) == ("cna", PAIR, "L23H3")
        at(user, "logits")
        await user.press("enter")
        assert user.asked(StepRequested)[-1].step.source == "residual:29"
        at(user, "L0F")
        await user.press("enter")
        assert "its neurons" in user.app.told[-1]
        await user.press("x")
        assert not user.asked(ChangesStaged)
        at(user, "L23H3")
        await user.press("x")
        assert str(user.asked(ChangesStaged)[-1].changes).startswith("L23H3")


async def test_the_table_of_edges_is_one_key_away():
    async with showing(edges()) as user:
        await user.press("V")
        await user.pilot.pause()
        assert user.here == "result"
        assert user.app.screen.query_one("#rows", FrameTable).shown == 8


LIES = [
    (None, "L0F", "q", 1.0, 1.0),
    ("L1F", "L0F", "ffn", 5.0, 5.0),  # back
    ("L0F", "L0F", "ffn", 5.0, 5.0),
    (NASTY[:9], "logits", "\x1b[2J", 3.0, 3.0),
    ("L99999H999999", "logits", "\x1b[2J", float("nan"), float("inf")),
    ("L99999H999999", "logits", "\x1b[2J", -1e300, None),
    ("L7", "L8H", "q", 1.0, 1.0),
    ("L9KV999999", "L99999H999999", None, 0.0, 0.0),
]


@pytest.mark.parametrize("size", [(60, 15), (120, 36)])
@pytest.mark.parametrize("found", [LIES, LIES[:3], []], ids=["lies", "no-edge", "nothing"])
async def test_rows_of_anybody_are_drawn_or_left_out(found, size):
    async with showing(edges(found), size=size) as user:
        keys = ("right", "left", "up", "down", "g", "G", "z", "enter", "space", "x", "y", "Y")
        await user.press(*keys, "plus", "minus", "V", "escape")
        assert user.here == "chain"
        assert "\x1b" not in user.seen
        assert ("L99999H999999" in user.seen) == (found == LIES)


async def test_a_curve_of_faithfulness_has_bars_and_its_areas():
    rows = [
        {"name": f"{100 * share:g}%", "share": share, "edges": round(900 * share)}
        | {"faithfulness": share**0.5, "random": -share / 2}
        for share in (0.01, 0.25, 1.0)
    ]
    curve, others = result(FaithfulnessStep(prompts=PAIRS), rows), gains()
    async with showing(curve, others) as user:
        user.app.present(user.workspace.results[0])
        await user.pilot.pause()
        assert user.here == "result"
        header, *lines = (
            each for each in user.seen.splitlines() if "█" in each or "random" in each
        )
        assert header.split()[:4] == ["name", "▲share", "edges", "faithfulness"]
        assert [each.count("│") for each in lines[:3]] == [2, 2, 2]  # none for the share
        assert "CPR 0.6" in user.text("#at-cursor")
        assert "CMD 0.3" in user.text("#at-cursor")
