"""Pictures of every screen, compared with the ones kept beside this test.

Look at a changed picture before keeping it with `pytest tests/screens --snapshot-update`.
"""

from __future__ import annotations

import re
from dataclasses import replace

import large_models
import pytest
from made_up import attended, gains, lens
from piloting import driving
from recorded_chain import open_chain
from recorded_change import KINDS, open_change
from recorded_change import shown as changed
from replays import own_example, replaying, unmeasured
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from analysis.changes import Changes
from analysis.tasks.answers import Spelling, Standing
from screens import chrome
from screens import sessions as sessions_screen
from screens.text import how_far
from screens.themes import DARK, LIGHT
from screens.widgets import lines as progress
from screens.workspace import InMemory, Reading, Result
from sessions import Follower, Session
from sessions.documents import SessionWriter
from sessions.lock import WRITER_FILE
from workbench.app import WorkbenchApp
from workbench.settings import load_settings

SIZES = {"80x24": (80, 24), "120x36": (120, 36)}
KEYS = {
    "heads": ("b",),
    "heads by accuracy": ("b", "m"),
    "neurons": ("right_square_bracket", "down", "down"),
    "neurons filtered": ("right_square_bracket", "slash", *"nine", "enter"),
    "tokens": ("right_square_bracket", "right_square_bracket"),
    "prompts": ("1",),
    "sessions": ("7",),
    "help": ("question_mark",),
    "timeline": ("right_square_bracket", "T", "down"),
    "the steps of a session": ("7", "tab", "down"),
}


class _Svg(SingleFileSnapshotExtension):
    file_extension = "svg"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def picture(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(_Svg)


@pytest.fixture(autouse=True)
def _one_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ages do not tick, and nothing of the machine shows."""
    monkeypatch.setattr(sessions_screen, "age", lambda seconds: "5 min")
    monkeypatch.setattr(chrome, "memory_words", lambda: "1.2 of 24 GB")
    monkeypatch.setattr(
        progress,
        "how_far",
        lambda done, expected, elapsed=None, left=None: how_far(
            done, expected, elapsed and 5.0, left
        ),
    )
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def drawn(app: WorkbenchApp) -> str:
    """The screen as SVG, without the fonts it would fetch."""
    return re.sub(r"@font-face\s*\{[^}]*\}\s*", "", app.export_screenshot())


def everything(theme: str) -> WorkbenchApp:
    """Something to show on each of the eight screens."""
    app = replaying(theme=theme)
    chain, change = open_chain(), open_change()
    paper = Session.open("example:paper")
    tables = [step for step in paper.steps if step.step.kind == "table"]
    steps = [*chain.steps[:1], *change.steps[:2], *tables]
    app.workspace.results += [Result.read(step, paper.info.model) for step in steps]
    return app


@pytest.mark.parametrize(
    ("size", "theme"),
    [((60, 16), DARK), ((120, 36), LIGHT), ((200, 60), DARK)],
    ids=["60x16", "120x36 light", "200x60"],
)
async def test_all_screens(size, theme, picture):
    app = everything(theme.name)
    async with driving(app, size) as user:
        for key, *more in ("1", "2b", "3", "4", "5", "6", "7", "8"):
            await user.press(key, *more)
            assert drawn(app) == picture(name=user.here)


@pytest.mark.parametrize(
    ("made", "size", "theme"),
    [(lens, (80, 24), DARK), (lens, (60, 16), LIGHT), (gains, (120, 36), LIGHT)],
    ids=["positions 80x24", "positions 60x16 light", "curve 120x36 light"],
)
async def test_a_result_by_its_shape(made, size, theme, picture):
    app = replaying(theme=theme.name)
    app.workspace.results[:] = [shown := made(30)]
    app.workspace.show(shown, "result")
    async with driving(app, size) as user:
        app.action_visit("result")
        await user.press("down")
        assert drawn(app) == picture


@pytest.mark.parametrize(
    ("keys", "size", "theme"),
    [
        (("up",), (80, 24), DARK),
        (("tab", "left"), (80, 24), DARK),
        (("v",), (60, 16), LIGHT),
        (("w", "d"), (120, 36), DARK),
    ],
    ids=["text 80x24", "matrix 80x24", "text 60x16 light", "difference 120x36"],
)
async def test_what_a_head_looks_at(keys, size, theme, picture):
    app = replaying(theme=theme.name)
    model = app.workspace.model
    made = [attended(("L1H0", "L1H1"), shift=each) for each in (2, 1)]
    app.workspace.results[:] = [
        replace(each, id=f"{place}", model=model) for place, each in enumerate(made)
    ]
    app.workspace.replay_place = 1
    async with driving(app, size) as user:
        await user.press(*keys)
        assert drawn(app) == picture


async def test_all_screens_with_nothing_to_show_where_there_is_little_room(picture):
    app = replaying()
    app.workspace.results.clear()
    async with driving(app, (60, 16)) as user:
        app.workspace.replaying = False
        for key in "2345678":
            await user.press(key)
            assert drawn(app) == picture(name=user.here)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
@pytest.mark.parametrize("shape", [(32, 32), (80, 64)], ids=["32x32", "80x64"])
async def test_the_heads_of_a_large_model(shape, size, picture):
    app = WorkbenchApp(large_models.workspace(large_models.sweep(*shape)), load_settings())
    async with driving(app, size) as user:
        await user.press("2", "b")
        assert drawn(app) == picture


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", KEYS)
async def test_a_replayed_session(keys, size, picture):
    async with driving(replaying(), SIZES[size]) as user:
        await user.press(*KEYS[keys])
        assert drawn(user.app) == picture


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", [(), ("T",), ("7",)], ids=["map", "timeline", "sessions"])
async def test_a_session_that_another_process_writes(keys, size, picture, sessions_folder):
    """Half a sweep, notes on it, a step that failed; process 4242 goes on."""
    folder = own_example("shared")
    with Session.open("shared", writable=True) as session:
        session.note("addition, for the talk")
        session.note("one head of 270 matters most", 1)
        session.amend(session.step(3), state="failed", error="out of memory")
        session.amend(session.step(5), state="running", seconds=21.0, expected=32)
        writer = SessionWriter.read(folder / WRITER_FILE).model_copy(update={"pid": 4242})
        writer.write(folder / WRITER_FILE)
        reader = Session.open("shared")
        workspace, follower = unmeasured(), Follower(reader)
        workspace.replay(reader)
        app = WorkbenchApp(workspace, load_settings(), follower=follower)
        async with driving(app, SIZES[size]) as user:
            await user.press(*keys)
            assert drawn(app) == picture


@pytest.mark.parametrize("size", SIZES)
async def test_a_replay_that_plays(size, picture):
    async with driving(replaying(), SIZES[size]) as user:
        await user.press("right_square_bracket", "space")
        assert drawn(user.app) == picture


@pytest.mark.parametrize("size", SIZES)
async def test_a_sweep_half_way(size, picture):
    """Estimates and exact values side by side, with the time that is left."""
    app = replaying()
    whole = app.workspace.results[0]
    half = replace(
        whole, held=InMemory(whole.rows.head(100), whole.estimates), state="running", remaining=31.0
    )
    app.workspace.put(half)
    async with driving(app, SIZES[size]) as user:
        app.workspace.replaying = False
        app.screen.refresh_all()
        await user.press("b")
        assert drawn(app) == picture


BESIDE_KEYS = {
    "which run": ("002-heads", ("w", "down")),
    "two sweeps": ("002-heads", ("w", *"sub1", "enter", "b")),
    "the difference of two sweeps": ("002-heads", ("w", *"sub1", "enter", "d", "b")),
    "two rankings": ("021-cna", ("w", "down", "down")),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", BESIDE_KEYS)
async def test_two_runs_side_by_side(keys, size, picture):
    """In a small terminal `d` goes from one sweep to the other before it shows the difference."""
    place, pressed = BESIDE_KEYS[keys]
    app = replaying("example:paper", at=place)
    async with driving(app, SIZES[size]) as user:
        await user.press(*pressed)
        assert drawn(app) == picture


PAPER_KEYS = {
    "table 1": (),
    "a cell of table 5": (*["j"] * 4, "tab", "j"),
    "not to be told": ("j",),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", PAPER_KEYS)
async def test_the_papers_tables(keys, size, picture):
    app = replaying("example:paper")
    async with driving(app, SIZES[size]) as user:
        await user.press(*PAPER_KEYS[keys])
        assert drawn(app) == picture


CHAIN_KEYS = {
    "at the head": (),
    "a shallow neuron": ("left", "down", "down"),
    "the root zeroed": ("right", "z"),
    "another": ("right_square_bracket", "left"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("keys", CHAIN_KEYS)
async def test_a_chain(keys, size, picture):
    app = replaying(open_chain())
    async with driving(app, SIZES[size]) as user:
        await user.press(*CHAIN_KEYS[keys])
        assert drawn(app) == picture


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_change(kind, size, picture):
    app = WorkbenchApp(changed(kind), load_settings())
    async with driving(app, SIZES[size]) as user:
        assert user.here == "change"
        assert drawn(app) == picture


@pytest.mark.parametrize("size", SIZES)
async def test_a_staged_change_with_what_it_does(size, picture):
    workspace = changed("evaluate")
    app = WorkbenchApp(workspace, load_settings())
    async with driving(app, SIZES[size]) as user:
        workspace.staged.put(Changes.of(workspace.results[1].step.edit))
        workspace.replaying = False
        app.screen.refresh_all()
        await user.press("v")
        app.clear_notifications()
        await user.pilot.pause()
        assert drawn(app) == picture


@pytest.mark.parametrize("key", ["t", "p", "a"])
async def test_the_forms_of_screen_6_show_their_defaults(key, picture):
    app = replaying()
    async with driving(app) as user:
        app.workspace.replaying = False  # only now, so that no model is loaded
        await user.press("6", key)
        assert user.here == "Form"
        assert drawn(app) == picture


@pytest.mark.parametrize("key", ["2", "3", "4", "5", "6", "8"])
async def test_a_screen_with_nothing_to_show_says_what_starts_it(key, picture):
    app = replaying()
    app.workspace.results.clear()
    async with driving(app) as user:
        await user.press(key)
        assert drawn(app) == picture


async def test_a_prompt_as_the_model_reads_it(picture):
    app = replaying()
    prompt = app.workspace.prompt
    tokens = tuple(prompt.prompt.replace("\n", "|\n|").replace(" ", "| |").split("|"))
    app.workspace.reading = Reading(
        prompt,
        ("<s>", *tokens),
        frozenset({0}),
        ("2",),
        predictions=((" 2", 0.958), (" 3", 0.02)),
        standing=Standing("2", 0.0005, 44, Spelling(prompt.prompt, " 2", 0.958)),
    )
    async with driving(app) as user:
        await user.press("1")
        assert drawn(app) == picture


async def test_a_terminal_that_is_too_small_says_what_is_needed(picture):
    async with driving(replaying(), (58, 20)) as user:
        assert drawn(user.app) == picture
