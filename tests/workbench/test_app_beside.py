"""Two runs side by side on screens 2 and 3, live and in a replay."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import polars as pl
import pytest
from piloting import driving, rows_by_name
from replays import own_example, replaying

from analysis.refs import HeadRef
from screens.beside import NEED_TWO
from screens.heads import ONE_OPERATION
from screens.widgets.cell_map import HeadMap
from sessions import Session, read_view
from sessions.documents import VIEW_FILE
from sessions.parts import write_frame


def maps(user) -> list[HeadMap]:
    """The maps in sight."""
    return [each for each in user.app.screen.query(HeadMap) if each.region.area]


def changes(session: Session, step: int) -> dict[str, float]:
    """What each head's ablation changes, from the rows on disk."""
    recorded = session.step(step)
    intact = recorded.info.baseline["logprob"]
    return {name: row["logprob"] - intact for name, row in rows_by_name(recorded.rows()).items()}


async def two_sweeps(user) -> None:
    """A sweep that zeroes, and in sight one that puts means in place."""
    await user.settled()
    await user.press("r")
    await user.settled()
    await user.press("z")
    await user.settled()


async def test_alone_w_says_how_to_come_to_a_second_sweep(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("w")
        assert "There is no other finished heads step here. z sweeps" in user.notices[-1]
        await user.press("d")
        assert user.notices[-1] == user.workspace.keys.fill(NEED_TWO)
        await user.press("o")
        assert user.notices[-1] == ONE_OPERATION


@pytest.mark.parametrize("size", [(120, 36), (160, 30)], ids=["above each other", "in a row"])
async def test_two_sweeps_share_scale_and_cursor_and_the_reading_has_both(live, size):
    async with driving(live(), size) as user:
        await two_sweeps(user)
        await user.press("w")
        first, second = maps(user)
        recorded = Session.open("add1-1")
        a, b = changes(recorded, 2), changes(recorded, 1)
        for name in a:
            assert first.value(HeadRef.parse(name)) == pytest.approx(a[name])
            assert second.value(HeadRef.parse(name)) == pytest.approx(b[name])
        ends = [end(end(a.values()), end(b.values())) for end in (min, max)]
        assert first.scale == second.scale == pytest.approx(tuple(ends))
        assert user.text("#title").splitlines()[0].split()[0] == "A"
        assert "mean-ablating" in user.text("#title").splitlines()[0]
        assert " zeroing" in user.text("#title").splitlines()[1]

        await user.press("right", "down", "right")
        assert str(first.cursor) == str(second.cursor) == "L2H1"
        words = user.text("#reading").replace("\N{MINUS SIGN}", "-").replace("B-A", "B−A").split()
        assert words[:2] == ["L2H1", "change"]
        assert [words[3], words[5]] == [f"{each['L2H1']:+.3f}" for each in (a, b)]
        assert float(words[7]) == pytest.approx(b["L2H1"] - a["L2H1"], abs=6e-4)
        # The other map goes along, and leads when it is clicked.
        layout = second.geometry
        region = layout.region(0, 2)
        await user.pilot.click(second, offset=(region.x + layout.gap, region.y))
        await user.pilot.pause()
        assert str(first.cursor) == str(second.cursor) == "L0H2"
        await user.press("right")
        assert str(first.cursor) == str(second.cursor) == "L1H2"

        await user.press("w")
        assert len(maps(user)) == 1
        assert first.scale == pytest.approx((min(a.values()), max(a.values())))
        assert len(user.text("#title").splitlines()) == 1


async def test_d_shows_what_the_second_has_above_the_first(live):
    async with driving(live(), (120, 36)) as user:
        await two_sweeps(user)
        await user.press("w", "d")
        (shown,) = maps(user)
        recorded = Session.open("add1-1")
        a, b = changes(recorded, 2), changes(recorded, 1)
        for name in a:
            assert shown.value(HeadRef.parse(name)) == pytest.approx(b[name] - a[name])
        farthest = max(a, key=lambda name: abs(b[name] - a[name]))
        assert user.text("#most").split()[2] == farthest
        listed = user.text(".words").replace("\N{MINUS SIGN}", "-").splitlines()[1].split()
        assert listed == [
            farthest,
            *(f"{value:+.3f}" for value in (b[farthest] - a[farthest], a[farthest], b[farthest])),
        ]
        await user.press("b")
        assert str(shown.cursor) == farthest
        await user.press("Y")
        await user.until(lambda: "change_a\tchange_b\tdifference" in user.app.clipboard)
        row = user.app.clipboard.splitlines()[1].split("\t")
        assert row[0] == farthest
        assert float(row[3]) == pytest.approx(b[farthest] - a[farthest])
        await user.press("d")
        assert len(maps(user)) == 2


async def test_where_one_map_fits_d_goes_from_a_to_b_to_their_difference():
    async with driving(replaying("example:paper", at="002-heads")) as user:
        await user.press("w")
        await user.type("sub1")
        await user.press("enter")
        (shown,) = maps(user)
        head, seen = HeadRef(20, 8), []
        for _ in range(4):
            seen.append(shown.value(head))
            await user.press("d")
        a, b, apart, again = seen
        assert apart == pytest.approx(b - a)
        assert a == again != b
        assert len(maps(user)) == 1


async def test_of_many_runs_one_is_searched_and_none_is_put_beside_by_escape():
    async with driving(replaying("example:paper", at="002-heads")) as user:
        await user.press("w")
        assert user.here == "Finder"
        await user.press("escape")
        assert user.app.screen.second is None
        await user.press("w")
        await user.type("mul2")
        await user.press("enter")
        assert user.here == "heads"
        assert user.app.screen.second.step.prompts.title.startswith("mul2 ")
        assert "most apart" in user.text("#most")
        agreement = user.text("#most").splitlines()[1]
        recorded = Session.open("example:paper")
        a, b = changes(recorded, 2), changes(recorded, 9)
        tops = [set(sorted(each, key=each.get)[:10]) for each in (a, b)]
        assert f"{len(tops[0] & tops[1])} of the top 10" in agreement


async def test_a_sweep_fills_beside_the_last_one(live, gate):
    async with driving(live(), (120, 36)) as user:
        await user.settled()
        gate.let_all()
        await user.press("r")
        await user.settled()
        gate.open = False
        await user.press("z")
        gate.let(2)
        await user.until(lambda: user.result.rows.height == 2)
        await user.press("w")
        first, second = maps(user)
        assert all(second.value(HeadRef(layer, 0)) is not None for layer in range(3))
        gate.let(1)
        await user.until(lambda: user.result.rows.height == 3)
        gate.let_all()
        await user.settled()
        recorded = Session.open("add1-1")
        for name, change in changes(recorded, 2).items():
            assert first.value(HeadRef.parse(name)) == pytest.approx(change)
        assert first.scale == second.scale


async def test_an_unfinished_sweep_is_not_put_beside_another(live, gate):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        gate.let(2)
        await user.until(lambda: user.result.rows.height == 2)
        await user.press("escape")
        await user.settled()
        gate.let_all()
        await user.press("z")
        await user.settled()
        await user.press("w")
        assert "There is no other finished heads step" in user.notices[-1]


async def test_a_run_of_a_model_of_another_shape_is_refused_with_its_shape():
    app = replaying("example:addition", "001-heads")
    workspace = app.workspace
    whole = workspace.results[0]
    other = whole.model.model_copy(update={"layers": 12, "heads": 12, "name": "other"})
    workspace.results.append(replace(whole, id="new-1", model=other))
    async with driving(app) as user:
        await user.press("w")
        assert "of other (12 layers of 12 heads)" in user.notices[-1]
        assert user.app.screen.second is None


async def ranked_twice(user) -> None:
    """The neurons of two heads compared, the later in sight with the first beside it."""
    await user.settled()
    await user.press("r")
    await user.settled()
    await user.press("enter")
    await user.settled()
    await user.press("2", "right", "enter")
    await user.settled()
    assert user.here == "neurons"
    await user.press("w")


async def test_two_rankings_stand_in_one_table_joined_by_name(live):
    async with driving(live(), (120, 36)) as user:
        await ranked_twice(user)
        recorded = Session.open("add1-1")
        a, b = (rows_by_name(recorded.step(step).rows()) for step in (3, 2))
        shown = rows_by_name(user.table.copied(True))
        orders = [
            sorted(each, key=lambda name: -each[name]["importance_change"]) for each in (a, b)
        ]
        for name in a.keys() & b.keys():
            row = shown[name]
            mine, yours = (each[name]["importance_change"] for each in (a, b))
            assert (row["a"], row["b"]) == (mine, yours)
            assert row["difference"] == pytest.approx(yours - mine)
            # Among equals either order is right.
            assert a[orders[0][row["rank_a"] - 1]]["importance_change"] == mine
            assert b[orders[1][row["rank_b"] - 1]]["importance_change"] == yours
        shared = set(orders[0][:10]) & set(orders[1][:10])
        assert f"in both  {len(shared)} of the top 10" in user.text("#histogram")

        cursor = user.table.current_key
        await user.press("s", "s")
        assert user.table.sorted_by == "difference"
        values = [row["difference"] for row in user.table.copied(True).to_dicts()]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=True)
        assert user.table.current_key == cursor
        await user.press("w")
        assert user.table.current_key == cursor
        assert user.table.sorted_by == "importance_change"
        assert "importance_change" in user.table.copied(False).columns


async def test_a_neuron_that_one_certified_ranking_lacks_is_not_zero_there():
    async with driving(replaying("example:paper", at="021-cna"), (120, 36)) as user:
        await user.press("w")
        rows = user.table.copied(True)
        session = Session.open("example:paper")
        a, b = (set(session.step(step).rows()["name"]) for step in (21, 22))
        assert set(rows["name"]) == a | b
        assert rows.height == len(a | b)
        for row in rows.to_dicts():
            assert (row["a"] is None, row["b"] is None) == (
                row["name"] not in a,
                row["name"] not in b,
            )
            assert (row["difference"] is None) == (row["name"] not in a & b)
        line = next(line for line in user.seen.splitlines() if "L24N1493" in line)
        assert line.split()[1:7] == ["L24N1493", "+0.482", "–", "–", "1", "–"]
        assert f"{len(a & b)} of the top 100" in user.text("#histogram")


async def test_a_replay_puts_back_the_run_beside_and_what_was_looked_at(live):
    async with driving(live(), (120, 36)) as user:
        await ranked_twice(user)
        await user.press("s", "s")
        await user.press("2", "z")
        await user.settled()
        await user.press("w", "d", "q", "q", "q")
        await user.until(lambda: not user.app.is_running)
    session = Session.open("add1-1")
    assert read_view(session.step(3))["second"] == "002-cna"
    async with driving(replaying("add1-1", "003-cna"), (120, 36)) as user:
        assert user.app.screen.second.name == "002-cna"
        assert user.table.sorted_by == "difference"
        await user.press("]")
        assert user.here == "heads"
        assert user.app.screen.second.name == "001-heads"
        assert user.app.screen.face == "difference"
        # A viewer's choice leaves no trace.
        await user.press("w", "[", "]")
        assert user.app.screen.second.name == "001-heads"


@pytest.mark.parametrize(
    "view",
    [
        {"second": "002-cna"},
        {"second": "001-heads"},
        {"second": "../001-heads", "face": "difference"},
        {"second": ["005-heads"], "face": {"a": 1}},
        {"second": 7, "face": "c", "group": "-"},
    ],
)
async def test_a_view_that_names_no_other_run_shows_one(view, sessions_folder):
    folder = own_example()
    document = {"schema": 1, "view": view}
    (folder / "001-heads" / VIEW_FILE).write_text(json.dumps(document))
    async with driving(replaying("mine", "001-heads")) as user:
        assert user.app.screen.second is None
        assert len(user.text("#title").splitlines()) == 1
        assert user.text("#most").lstrip().startswith("most harm")


async def test_a_second_run_that_lies_is_said_not_to_fit_and_w_takes_it_away(sessions_folder):
    folder = own_example()
    lying = folder / "006-heads"
    shutil.copytree(folder / "001-heads", lying)
    rows = Session.open("mine").step(1).rows()
    for part in lying.glob("part-*.parquet"):
        part.unlink()
    far = rows.with_columns(pl.col("head") + 90)
    write_frame(lying / "part-00000.parquet", far)
    async with driving(replaying("mine", "001-heads")) as user:
        await user.press("w", "d")
        assert user.app.screen.second is not None
        assert user.text("#empty").startswith("This cannot be shown: what is recorded")
        await user.press("down", "w")
        assert len(maps(user)) == 1
        assert user.text("#most").lstrip().startswith("most harm")
