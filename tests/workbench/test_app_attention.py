"""What a head looks at: the shaded prompt, the map, heads one after the other, two runs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace

import polars as pl
import pytest
from hands import Idle
from hostile import cells, harmless
from hostile import tokens as hostile_tokens
from made_up import ALONE, PAIRS, SENTENCE, attended, detected, edges, patched
from piloting import Driver, driving
from recorded_chain import recorded_result
from replays import replay_of

from analysis.changes import Changes
from analysis.refs import HeadRef
from analysis.tasks.prompts import PromptSet
from screens.messages import ChangesStaged, StepRequested
from screens.text import visible
from screens.widgets.attention_map import AttentionMap
from screens.widgets.look_list import LookList
from screens.widgets.prompt_text import PromptText
from screens.workspace import Result
from sessions import Session


@pytest.fixture(autouse=True)
def _colours(monkeypatch):
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


@asynccontextmanager
async def showing(*results, screen="attention", size=(80, 24), replaying=False):
    """A user in front of a screen of a workbench that has these results."""
    workspace, messages = replay_of("example:addition"), []
    workspace.replaying, model = replaying, workspace.model
    workspace.results = [
        replace(each, id=f"{place}-{each.id}", model=model) for place, each in enumerate(results)
    ]
    if replaying:
        workspace.replay_place = len(results) - 1
    app = Idle(workspace)
    async with app.run_test(size=size, message_hook=messages.append) as pilot:
        user = Driver(app, pilot)
        user.asked = lambda: [each for each in messages if isinstance(each, StepRequested)]
        user.messages = messages
        if not replaying:
            app.action_visit(screen)
        await pilot.pause()
        yield user


def list_of(user) -> list[str]:
    """The lines of the list of keys."""
    keys = user.app.screen.query_one(LookList)
    return [keys.render_line(y).text.rstrip() for y in range(keys.size.height)]


def shown(user, kind):
    return [each for each in user.app.screen.query(kind) if each.display]


def style_of(user, token: str):
    """How a token of the prompt is drawn."""
    text = user.app.screen.query(PromptText).first()
    segments = (each for y in range(text.size.height) for each in text.render_line(y))
    return next(each.style for each in segments if each.text == token)


async def test_a_prompt_is_shaded_from_its_last_token_on_and_the_keys_are_listed():
    async with showing(attended()) as user:
        assert "L1H0 · weights · " in user.text("#title")
        assert "L1H1 →" in user.text("#title")
        assert '"␣John" at 9  looks at "␣John" 0.900   "," 0.090' in user.text("#at-cursor")
        header, first, *_ = list_of(user)
        assert header.split() == ["looks", "at", "weight", "×", "value"]
        assert first.split()[:4] == ["9", '"␣John"', "0.900", "0.910"]
        assert style_of(user, "␣John").bgcolor is not None
        # Nobody looks ahead: what comes after the cursor is dim and has no colour.
        await user.press("up", "k")
        assert 'from "␣store" at 7' in user.text("#at-cursor")
        later, seen, strong = (style_of(user, each) for each in (",", "␣went", "␣store"))
        assert later.bgcolor == seen.bgcolor != strong.bgcolor
        assert later.color != seen.color
        await user.press("v")
        assert "L1H0 · weights × value length" in user.text("#title")
        assert 'looks at "␣store" 0.913' in user.text("#at-cursor")


async def test_the_map_has_queries_down_and_keys_to_the_right_and_names_both_tokens():
    async with showing(attended()) as user:
        await user.press("up", "tab")
        assert "L1H1 >" in user.text("#title")  # here the arrows walk the map
        (map,) = shown(user, AttentionMap)
        lines = [map.render_line(y).text.rstrip() for y in range(map.size.height)]
        assert lines[0].split()[:2] == ["0", "5"]
        assert [each.split()[:2] for each in lines[1:4]] == [
            ["0", "When"],
            ["1", "␣Mary"],
            ["2", "␣and"],
        ]
        reading = user.text("#at-cursor")
        assert 'from "," at 8  to "," at 8  weight 0.900  × value 0.911' in reading
        await user.press("left", "k")
        assert 'from "␣store" at 7  to "␣store" at 7' in user.text("#at-cursor")
        await user.press("right")  # it sees none after itself
        assert 'to "␣store" at 7' in user.text("#at-cursor")
        await user.press("tab")
        assert 'from "␣store" at 7' in user.text("#at-cursor")


async def test_heads_one_after_the_other_and_those_that_are_not_known_are_asked_for():
    async with showing(attended(("L1H7", "L1H8"))) as user:
        assert "← L1H6   L1H8 →" in user.text("#title")
        await user.press("up", "right")
        assert "L1H8 · weights" in user.text("#title")
        assert 'from "," at 8' in user.text("#at-cursor")  # the cursor stays
        assert not user.asked()
        await user.press("greater_than_sign")
        (asked,) = user.asked()
        assert asked.step.prompts == ALONE
        assert asked.step.heads == tuple(HeadRef(2, each) for each in range(9))
        await user.press("slash", *"L0H3", "enter")
        assert user.asked()[-1].step.heads[0] == HeadRef(0, 0)
    async with showing(attended(), replaying=True) as user:
        await user.press("less_than_sign")
        assert "Not recorded here: attention of L0H8" in user.app.told[-1]
        await user.press("greater_than_sign")
        assert "L1H1 · weights" in user.text("#title")


async def test_a_head_is_opened_from_every_screen_that_names_one():
    for result, screen, head in (
        (edges(), "chain", "L23H3"),
        (recorded_result(), "chain", "L20H8"),
        (patched(unit="head"), "patch", "L11H8"),
    ):
        async with showing(result, screen=screen) as user:
            if head == "L20H8":
                user.app.screen.query_one("ChainView").cursor = head
            await user.press("v")
            (asked,) = user.asked()
            assert HeadRef.parse(head) in asked.step.heads
            assert len(asked.step.heads) == 9
            assert len(asked.step.prompts) == 1
    async with showing(edges(), screen="chain") as user:
        user.app.screen.query_one("ChainView").cursor = "L0F"
        await user.press("v")
        assert user.app.told[-1].startswith("Only attention heads look at tokens")
        assert not user.asked()


async def test_in_a_replay_a_head_is_shown_in_whatever_prompts_it_is_recorded():
    three = attended(("L20H6", "L20H7", "L20H8"))
    async with showing(three, recorded_result(), replaying=True) as user:
        assert user.here == "chain"
        user.app.screen.query_one("ChainView").cursor = "L20H8"
        await user.press("v")
        assert user.here == "attention"
        assert "L20H8 · weights" in user.text("#title")


async def test_the_head_that_was_asked_for_is_in_sight_of_those_that_are_recorded():
    async with showing(attended(("L1H0", "L1H1", "L1H2")), recorded_result()) as user:
        user.workspace.replaying = True
        user.app.action_visit("heads")
        await user.pilot.pause()
        user.app.get_screen("attention").wanted = HeadRef(1, 2)
        user.app.action_visit("attention")
        await user.pilot.pause()
        assert "L1H2 · weights" in user.text("#title")
        assert user.app.screen.view()["head"] == "L1H2"


async def test_a_second_run_stands_beside_and_their_difference_instead():
    first, second = attended(), attended(shift=1)
    async with showing(second, first) as user:
        await user.press("w")
        assert len(shown(user, PromptText)) == 2
        row = next(each for each in list_of(user) if '","' in each)
        assert row.split()[2:5] == ["0.090", "0.826", "+0.736"]
        assert "A  " in user.seen
        await user.press("up")
        assert {each.cursor for each in user.app.screen.query(PromptText)} == {8}
        await user.press("down", "d")
        assert len(shown(user, PromptText)) == 1
        assert "less in B" in user.seen
        assert list_of(user)[1].split()[1:5] == ['"␣John"', "0.900", "0.083", "−0.817"]
        await user.press("tab")
        assert len(shown(user, AttentionMap)) == 1
        await user.press("d")
        assert len(shown(user, AttentionMap)) == 2
        assert "B − A" not in user.seen
        await user.press("w")
        assert len(shown(user, AttentionMap)) == 1


async def test_what_a_head_would_look_at_otherwise_is_computed_to_stand_beside():
    async with showing(attended(prompts=PAIRS)) as user:
        await user.press("w")
        (asked,) = user.asked()
        assert asked.stay
        assert asked.step.prompts.prompts[0].prompt == PAIRS.prompts[0].corrupt
        assert asked.step.heads == user.result.step.heads
        other = attended(prompts=asked.step.prompts, shift=1, tokens=(*SENTENCE[:-1], " Mary"))
        user.workspace.results.append(replace(other, id="2", model=user.workspace.model))
        user.workspace.show(user.workspace.results[0], "attend")
        user.app.bring_up_to_date()
        await user.pilot.pause()
        assert [each.cursor for each in shown(user, PromptText)] == [9, 9]
        assert "B  the corrupt prompt" in user.seen
        assert '"␣John"/"␣Mary"' in list_of(user)[1]
    async with showing(attended()) as user:
        await user.press("w")
        assert "There is no other finished attend step here" in user.app.told[-1]
        # A head below changes what this one reads; one above or the head itself does not.
        user.workspace.staged.put(Changes.parse(["L1H0"]))
        await user.press("w")
        assert not user.asked()
        user.workspace.staged.put(Changes.parse(["L0H3"]))
        await user.press("w")
        assert [each.names for each in user.asked()[-1].step.changes] == ["L0H3"]


async def test_an_adapter_that_was_trained_here_can_be_worn_to_stand_beside():
    paper = Session.open("example:paper")
    lora = next(each for each in paper.steps if each.files)
    async with showing(attended()) as user:
        user.workspace.results.append(Result.read(lora, paper.info.model))
        await user.press("w")
        assert "wearing lora-L23" in user.seen
        await user.press("enter")
        (asked,) = user.asked()
        assert asked.step.adapter.parent == lora.files
        worn = replace(attended(shift=1), id="2", step=asked.step, model=user.workspace.model)
        user.workspace.results.append(worn)
        user.app.bring_up_to_date()
        await user.pilot.pause()
        assert f"B  wearing {asked.step.adapter.name}" in user.seen


async def test_the_keys_of_a_long_prompt_that_nobody_kept_are_unknown_and_no_zeros():
    many = [f" t{place}" for place in range(600)]
    async with showing(attended(("L1H0",), many, top=3)) as user:
        assert "the 3 largest of each token are known" in user.seen
        assert "597 others" in " ".join(list_of(user))
        # It scrolls to the token that looks.
        assert 'from "␣t599"' in user.text("#at-cursor")
        assert "␣t599" in user.seen
        assert "␣t0 " not in user.seen
        assert style_of(user, "␣t590").italic
        assert not style_of(user, "␣t598").italic
        await user.press("g")
        assert "␣t0" in user.seen
        await user.press("down", "l")
        assert "Nothing" not in user.seen
    async with showing(attended(("L1H0",), many * 2, top=2)) as user:
        await user.press("tab")
        assert "A map of 1,200 tokens would have 1,440,000 cells" in user.app.told[-1]


async def test_several_cases_have_roles_for_tokens():
    roles = ["subject", "object", "answer position"]
    cases = PromptSet(name="ioi", prompts=PAIRS.prompts * 2)
    mean = attended(tokens=roles, prompts=cases)
    # Cases have roles in several orders, so that one may look at what is behind it on average.
    ahead = mean.rows.with_columns(key=2 - mean.rows["key"]).filter(query=0)
    rows = pl.concat([mean.rows, ahead.head(1).with_columns(key_token=pl.lit(roles[2]))])
    async with showing(replace(mean, held=replace(mean.held, rows=rows))) as user:
        assert "mean of ioi · 2 prompts" in user.text("#title")
        assert 'from "answer position" at 2' in user.text("#at-cursor")
        assert " subject   object  ▐answer position▌" in user.seen
        await user.press("g")
        assert list_of(user)[2].split()[:3] == ["2", '"answer', 'position"']
        await user.press("tab", "end")
        assert 'to "answer position" at 2  weight 1.000' in user.text("#at-cursor")


async def test_the_patterns_that_a_head_follows_are_told_where_they_are_known():
    async with showing(detected(), attended()) as user:
        words = "previous 0.10 · duplicate 0.00 · induction 0.25 · first 0.30"
        assert words in user.text("#at-cursor")
        await user.press("greater_than_sign")
        assert "previous 0.60" in user.text("#at-cursor")


async def test_from_a_head_to_what_it_reads_and_what_it_drives():
    async with showing(attended()) as user:
        await user.press("enter", "n", "x")
        lens, cna = user.asked()
        assert (lens.step.kind, lens.step.prompt) == ("lens", ALONE.prompts[0])
        assert (cna.step.kind, cna.step.ablate.names) == ("cna", "L1H0")
        staged = [each for each in user.messages if isinstance(each, ChangesStaged)]
        assert str(staged[0].changes).startswith("L1H0")


async def test_how_it_was_looked_at_is_kept_and_put_back():
    async with showing(attended()) as user:
        screen = user.app.screen
        await user.press("greater_than_sign", "v", "tab", "up")
        view = screen.view()
        screen.show_view({})
        assert screen.view()["head"] == "L1H0"
        assert screen.view()["face"] == "text"
        screen.show_view(view)
        assert screen.view() == view
        for lie in ({"head": 7, "query": -3, "face": [], "apart": "x"}, {"query": 10**9}):
            screen.show_view(lie)
        assert screen.view()["query"] == len(SENTENCE) - 1


@pytest.mark.parametrize(
    "lies",
    [
        {"weight": [float("nan"), float("inf"), -float("inf"), None, -7.0, 1e300]},
        {"query": [-1, 10**6, 2**31 - 1, None, 0, 3], "key": [-5, 9, 2**31 - 1, None, 7, 0]},
        {"layer": [-1, 2**31 - 1, None, 0, 1, 1], "head": [10**6, -3, None, 0, 1, 1]},
    ],
    ids=["numbers", "places", "heads"],
)
@pytest.mark.parametrize("base", [{}, {"tokens": ["a", 7], "cases": "x", "top": "y"}])
async def test_rows_that_anybody_may_have_written_are_shown_or_refused(lies, base):
    made = attended()
    few = made.rows.head(6)
    schema = few.schema
    rows = few.with_columns(
        pl.Series(name, values, schema[name], strict=False) for name, values in lies.items()
    )
    held = replace(made.held, rows=pl.concat([rows, made.rows.tail(3)]))
    async with showing(replace(made, held=held, baseline=base)) as user:
        await user.press("up", "v", "g", "right", "tab", "up", "v", "y", "w")
        assert user.here == "attention"
        assert "a" in user.seen


@pytest.mark.parametrize("face", [(), ("tab",)], ids=["text", "matrix"])
@pytest.mark.parametrize("glyphs", [False, True], ids=["colours", "glyphs"])
async def test_tokens_that_would_be_obeyed_are_written_out(face, glyphs, monkeypatch):
    if glyphs:
        monkeypatch.setenv("NO_COLOR", "1")
    # What is no text a frame cannot hold.
    nasty = [each.encode("utf-8", "replace").decode() for each in hostile_tokens(40, seed=3)]
    async with showing(attended(("L1H0",), nasty)) as user:
        await user.press(*face)
        assert all(harmless(each) and cells(each) <= 80 for each in user.seen.splitlines())
        assert visible(nasty[-1])[:20] in user.text("#at-cursor")


async def test_without_colours_a_glyph_says_how_much(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    async with showing(attended()) as user:
        assert ",░" in user.seen
        assert "▐␣John█▌" in user.seen
        await user.press("tab")
        (map,) = shown(user, AttentionMap)
        assert map.glyphs


async def test_nothing_yet_says_how_to_get_it():
    async with showing() as user:
        assert "What an attention head looks at" in user.seen
        assert "press v;" in " ".join(user.seen.split())
        await user.press("less_than_sign", "tab", "v", "enter", "n", "x", "w", "y")
        assert not user.asked()


async def test_a_head_of_a_sweep_is_looked_at_live_case_by_case(live):
    async with driving(live(), (80, 24)) as user:
        await user.settled()
        await user.press("2", "r")
        await user.settled()
        await user.press("v")
        await user.settled()
        head = user.app.screen.head_in_sight
        assert user.here == "attention"
        assert f"{head} · weights · case 1 of 36" in user.text("#title")
        assert "← sweep" in user.text("#origin")
        heads = user.result.step.heads
        assert len(heads) == user.workspace.model.heads
        weights = user.result.rows.filter(name=str(head), query=4)["weight"]
        assert weights.sum() == pytest.approx(1.0, abs=1e-4)
        await user.press("C", "3", "enter")
        await user.settled()
        assert "case 3 of 36" in user.text("#title")
        assert user.app.screen.head_in_sight == head
        await user.press("n")
        await user.settled()
        assert user.here == "neurons"
        await user.press("v")
        await user.settled()
        assert user.here == "attention"
        assert user.app.screen.head_in_sight == head
