"""What small terminals still say whole: readings, filters, controls, and why a text will not do."""

from __future__ import annotations

import pytest
from piloting import driving
from recorded_change import shown as changed
from replays import replaying
from textual.widgets import Static

from screens.chain import NO_CHAIN
from screens.change import RANDOM
from screens.heads import BESIDE_TWO
from screens.widgets.frame_table import FrameTable
from workbench.app import WorkbenchApp
from workbench.settings import load_settings


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (80, 20), (120, 36)])
async def test_the_reading_of_two_sweeps_shows_whole_sections(size):
    async with driving(replaying("example:paper", at="002-heads"), size) as user:
        await user.press("w", *"sub1", "enter", "b")
        await user.pilot.pause()
        lines = user.text("#reading").splitlines()
        map, reading = user.app.screen.query_one("#map"), user.app.screen.query_one("#reading")
        assert reading.outer_size.width == BESIDE_TWO.reading
        assert reading.region.y + 1 + len(lines) <= map.region.bottom
        assert [line[:4].strip() for line in lines if line.startswith(" ")][:3] == ["A", "B", "B−A"]
        for place, label in enumerate(lines):
            if label in ("rank", "accuracy", "log-prob"):
                assert [line[1] for line in lines[place + 1 : place + 3]] == ["A", "B"]
        if size == (120, 36):
            assert "log-prob" in lines
        if size != (120, 36):  # there both maps are in sight, each under its own name
            for tab in ("A  ", "B  ", "B − A"):
                assert tab in user.seen


@pytest.mark.parametrize(("screen", "key"), [("prompts", "1"), ("neurons", "3"), ("sessions", "7")])
async def test_a_filter_in_force_is_said_with_its_count(screen, key):
    async with driving(replaying(), (60, 16)) as user:
        await user.press("right_square_bracket", key)
        assert user.here == screen
        line = user.app.screen.query_one("#filtered", Static)
        assert not line.display
        await user.press("slash")
        await user.write("Tamil")
        await user.press("enter")
        table = user.table
        assert user.text("#filtered") == f"/ Tamil: {table.found}"
        assert table.found.startswith(f"0 of {table.total:,}")
        assert "/ Tamil: 0 of " in user.seen
        await user.press("slash")
        assert not line.display
        await user.write("x" * 60)
        await user.press("enter")
        assert user.text("#filtered").startswith("/ Tamilxxx")
        assert user.text("#filtered").endswith(f"…: {table.found}")
        assert f"…: 0 of {table.total:,}" in user.seen
        await user.press("slash", "escape")
        assert not line.display


async def test_the_random_control_stays_beside_the_words_that_explain_it():
    app = WorkbenchApp(changed("evaluate"), load_settings())
    async with driving(app, (60, 16)) as user:
        await user.pilot.pause()
        assert RANDOM in user.text("#variant")
        heading = user.app.screen.query_one("#measures", FrameTable).render_line(0).text.split()
        assert heading == ["measure", "after", "random"]


async def test_an_empty_prompt_is_refused_where_it_is_typed():
    app = replaying()
    async with driving(app) as user:
        app.workspace.replaying = False
        await user.press("1", "n", "enter")
        assert user.here == "CaseForm"
        assert "the prompt is empty" in user.seen
        await user.type("3+5=")
        await user.press("enter")
        assert user.here == "prompts"


async def test_without_a_chain_no_node_can_be_zeroed():
    async with driving(replaying()) as user:
        await user.press("5")
        assert "z" not in user.app.screen.active_bindings
        await user.press("z")
        assert user.notices[-1] == NO_CHAIN


@pytest.mark.parametrize(
    ("session", "at", "sights"),
    [
        ("addition", "001-heads", ["add1 · 36 prompts", "H5", "most harm", "rank"]),
        ("addition", "002-cna", ["← sweep of add1 · rank 1 of 270", "L23N761", "100 exact"]),
        ("addition", "003-project", ["← CNA of L20H8 · rank 1 of 100", "promotes", "final norm"]),
        ("paper", "027-chain", ["← sweep of add1 · rank 1 of 270", "L23N761", "without it"]),
        ("paper", "051-evaluate", ["← pairs · L29N778 rank 1", "perplexity", "random:"]),
        ("paper", "014-table", ["accuracy without", "measured", "Llama"]),
    ],
)
async def test_in_the_smallest_terminal_a_screen_does_its_job_and_below_it_says_so(
    session, at, sights
):
    async with driving(replaying(f"example:{session}", at=at), (60, 15)) as user:
        await user.pilot.pause()
        for words in (*sights, "? Keys", "[] Step", f"replay {session}"):
            assert words in user.seen, words
        await user.pilot.resize_terminal(60, 14)
        await user.pilot.pause()
        name = user.here.capitalize()
        assert f"The screen {name} needs 60 × 15; 80 × 24" in user.seen
        assert "This terminal is too small: 60 × 14" in user.seen
        assert "? Keys" not in user.seen


async def test_what_is_wrong_with_a_head_is_said_whole_where_there_is_little_room():
    async with driving(replaying(), (60, 16)) as user:
        await user.press("slash", *"L99H99", "enter")
        assert user.here == "Ask"
        for words in ("L99H99 is not a head", "heads 0 to 8", "esc cancels"):
            assert words in user.seen
