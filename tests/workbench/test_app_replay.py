"""The application on recorded sessions: step by step, from one to another, and on to live work."""

from __future__ import annotations

import polars as pl
import pytest
from piloting import driving
from replays import own_example
from textual.widgets import OptionList
from tiny_folder import HEADS_IN_ALL

from analysis.refs import HeadRef
from screens.dialogs import KeyList
from screens.timeline import around
from screens.widgets.cell_map import HeadMap
from sessions import RecordedStep, Session
from sessions.parts import part_path, write_frame


@pytest.fixture
def another():
    """A copy of the example in which zeroing the first head answers everything wrong."""
    folder = own_example("another")
    rows = Session.open("another").step(1).rows()
    worse = pl.when(pl.col("name") == "L0H0").then(-50.0).otherwise(pl.col("logprob"))
    write_frame(part_path(folder / "001-heads", 0), rows.with_columns(logprob=worse))
    return "another"


async def test_brackets_go_through_the_steps_on_their_screens(replaying):
    async with driving(replaying()) as user:
        shown = [(user.here, user.result.name)]
        for _ in range(5):
            await user.press("right_square_bracket")
            shown.append((user.here, user.result.name))
        assert shown == [
            ("heads", "001-heads"),
            ("neurons", "002-cna"),
            ("tokens", "003-project"),
            ("tokens", "004-project"),
            ("tokens", "005-project"),
            ("tokens", "005-project"),
        ]
        await user.press("left_square_bracket")
        assert user.result.name == "004-project"


async def test_the_map_of_one_session_does_not_stay_for_another(replaying, another):
    async with driving(replaying()) as user:
        shown = user.app.screen.query_one(HeadMap)
        before = shown.value(HeadRef(0, 0))
        await user.press("7")
        user.table.move_to(another)
        await user.press("enter")
        await user.until(lambda: user.workspace.session.name == another)
        assert user.here == "heads"
        intact = user.result.baseline["logprob"]
        assert shown.value(HeadRef(0, 0)) == pytest.approx(-50.0 - intact)
        assert before != shown.value(HeadRef(0, 0))


async def test_nothing_runs_in_a_replay_and_the_way_to_live_work_is_said(replaying):
    async with driving(replaying()) as user:
        await user.press("r")
        assert user.notices[-1] == "This is a replay. Press c to continue it live."
        assert user.workspace.running is None


async def test_c_goes_on_live_with_the_model_of_the_settings(replaying):
    async with driving(replaying()) as user:
        await user.press("c")
        assert not user.workspace.replaying
        await user.settled()
        assert user.workspace.model.name == "tiny"

        # The example's own sweep stays in sight; a new one goes to a session of one's own.
        assert user.result.rows.height == 270
        await user.press("1", "plus", "r")
        await user.settled()
        assert user.result.rows.height == HEADS_IN_ALL
        assert user.app.screen.query_one(HeadMap).shape == (3, 4)
        assert user.workspace.session.name == "add1-1"


async def test_space_plays_the_steps(replaying, monkeypatch):
    monkeypatch.setattr("workbench.player.PLAY_EVERY", 0.01)
    async with driving(replaying()) as user:
        await user.press("space")
        await user.until(lambda: user.workspace.replay_place == 4)
        assert user.here == "tokens"


async def test_y_copies_the_row_and_capital_y_all_of_them(replaying, tmp_path):
    async with driving(replaying()) as user:
        await user.press("y")  # the cursor is on the head that harms most
        await user.until(lambda: user.notices)
        header, row = user.app.clipboard.splitlines()
        assert header.split("\t") == ["name", "layer", "head", "accuracy", "logprob", "prob"]
        assert row.startswith("L20H8\t20\t8\t0.44")
        assert (tmp_path / "state" / "copied.tsv").read_text("utf-8") == user.app.clipboard
        await user.press("Y")
        await user.until(lambda: len(user.app.clipboard.splitlines()) == 271)
        await user.press("3", "y")
        await user.until(lambda: "L29N904" in user.app.clipboard)
        assert "country" in user.app.clipboard


async def test_slash_finds_a_head_by_its_name(replaying):
    async with driving(replaying()) as user:
        await user.press("slash")
        await user.type("17_4")
        await user.press("enter")
        assert user.app.screen.query_one(HeadMap).cursor == HeadRef(17, 4)
        await user.press("slash")
        await user.type("L99H0")
        await user.press("enter")
        assert user.here == "Ask"
        reason = "L99H0 is not a head of this model: layers 0 to 29, heads 0 to 8"
        assert user.text("Problem") == reason


def test_the_replay_bar_shows_what_fits_around_the_step():
    assert around(0, [5, 5, 5], 100) == range(3)
    assert around(2, [5, 5, 5, 5], 10) == range(2, 4)
    assert around(3, [5, 5, 5, 5], 10) == range(2, 4)
    assert around(0, [], 10) == range(0)


async def test_the_list_of_keys_is_searched_and_does_what_is_chosen_last_used_first(replaying):
    async with driving(replaying()) as user:
        await user.press("question_mark")
        await user.type("top head")
        await user.press("enter")
        await user.until(lambda: user.here == "heads")
        # The cursor was on the first of them, L20H8, already.
        assert user.app.screen.query_one(HeadMap).cursor == HeadRef(13, 4)
        await user.press("colon")
        first = user.app.screen.query_one(OptionList).get_option_at_index(0).prompt
        assert str(first).split() == ["b", "Top", "head", "this", "screen"]
        await user.type("neurons everywhere")
        await user.press("enter")
        await user.until(lambda: user.here == "neurons")


async def test_the_list_of_keys_is_walked_while_searching_and_closed_by_escape(replaying):
    async with driving(replaying()) as user:
        await user.press("ctrl+p", "down", "down", "up")
        assert user.app.screen.query_one(OptionList).highlighted == 1
        await user.type("nothing like this")
        await user.press("enter")
        assert isinstance(user.app.screen, KeyList)
        await user.press("escape")
        assert user.here == "heads"


async def test_hidden_neurons_replay_without_a_model(on_tiny, replaying):
    on_tiny("hidden", "--session", "mine", "--json")
    recorded = Session.open("mine").step(1)
    async with driving(replaying("mine")) as user:
        assert user.here == "neurons"
        assert user.table.total == recorded.rows().height
        assert user.table.current_key == recorded.step.ranked(recorded.rows())["name"][0]
        await user.press("enter")
        assert user.notices[-1].startswith("Not recorded here: ")


async def test_enter_walks_the_recorded_steps_and_says_what_the_others_need(replaying):
    async with driving(replaying()) as user:
        await user.press("left", "enter")  # nothing compares that head
        assert user.here == "heads"
        assert user.notices[-1].endswith(". It needs the model: c goes on live.")
        await user.press("b", "enter")
        assert (user.here, user.result.name) == ("neurons", "002-cna")
        user.table.move_to("L26N383")
        await user.press("enter")
        assert (user.here, user.result.name) == ("tokens", "004-project")
        await user.press("1", "enter")
        assert (user.here, user.result.name) == ("heads", "001-heads")


async def test_p_saves_the_screen_as_a_picture_and_says_where(replaying, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    async with driving(replaying()) as user:
        for _ in range(2):  # the notice of the first is not in the second
            await user.press("p")
            await user.until(lambda: list(tmp_path.glob("workbench-heads-*.svg")))
            (file,) = tmp_path.glob("workbench-heads-*.svg")
            picture = file.read_text("utf-8")
            assert "L20H8" in picture
            assert "Saved" not in picture
            await user.until(
                lambda name=file.name: user.notices[-1:] == [f"Saved {name} in {tmp_path}"]
            )
            assert "Saved" in user.app.export_screenshot()
            file.unlink()
        monkeypatch.chdir("/proc")
        await user.press("P")
        await user.until(lambda: user.notices[-1].startswith("cannot write workbench-heads-"))


async def test_of_a_long_session_only_what_is_looked_at_is_read(on_tiny, replaying, monkeypatch):
    for heads in ("L0H0", "L0H1", "L0H2"):
        on_tiny("heads", "--task", "add1", "--heads", heads, "--session", "mine", "--json")
    read = []
    plain = RecordedStep.rows
    monkeypatch.setattr(RecordedStep, "rows", lambda self: (read.append(self.id), plain(self))[1])
    async with driving(replaying("mine")) as user:
        assert user.here == "heads"
        await user.press("T", "escape")
        assert read == ["003-heads"]
        await user.press("left_square_bracket", "right_square_bracket", "left_square_bracket")
        assert read == ["003-heads", "002-heads"]


async def test_a_step_whose_rows_are_damaged_is_seen_to_be_when_it_is_looked_at(on_tiny, replaying):
    on_tiny("heads", "--task", "add1", "--session", "mine", "--json")
    (part,) = Session.open("mine").step(1).folder.glob("part-*.parquet")
    data = bytearray(part.read_bytes())
    data[len(data) // 3] ^= 1
    part.write_bytes(data)
    async with driving(replaying("mine")) as user:
        assert user.result.state == "damaged"
