"""How results were looked at: kept with the session, put back in its replay, and never trusted."""

from __future__ import annotations

import json

import pytest
from piloting import driving
from replays import own_example, unmeasured

from screens.heads import HeadsScreen
from screens.widgets.cell_map import HeadMap
from screens.widgets.chain_layout import ChainGraph
from screens.widgets.chain_view import ChainView
from sessions import Session, read_view
from sessions.documents import VIEW_FILE
from workbench.app import WorkbenchApp
from workbench.settings import load_settings


async def swept_and_compared(live, **settings) -> None:
    """Sweep, mark, colour by accuracy; rank the neurons of L1H1, sort, filter, mark; leave."""
    async with driving(live(**settings)) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("space", "right", "down", "m", "enter")
        await user.settled()
        assert user.here == "neurons"
        await user.press("s", "s", "slash")
        await user.type("L1")
        await user.press("enter", "g", "space", "down")
        await user.press("Q")
        await user.until(lambda: not user.app.is_running)


async def test_a_replay_puts_back_cursor_marks_metric_order_and_filter(live, replaying):
    await swept_and_compared(live)
    async with driving(replaying("add1-1")) as user:
        assert user.here == "neurons"  # where it was left
        await user.press("left_square_bracket")
        screen = user.app.screen
        assert isinstance(screen, HeadsScreen)
        assert (str(screen.query_one(HeadMap).cursor), screen.metric) == ("L1H1", "accuracy")
        assert user.text("#most").startswith(" marked  L0H0")
        await user.press("right_square_bracket")
        assert user.here == "neurons"
        table = user.table
        assert table.filter_text == "L1"
        assert table.sorted_by is not None
        assert len(table.marked) == 1
        assert all(name.startswith("L1N") for name in table.marked)
        assert table.cursor == 2
        # What a viewer does in a replay leaves no trace in it.
        kept = read_view(Session.open("add1-1").step(1))
        await user.press("left_square_bracket", "left", "m", "right_square_bracket")
        await user.press("left_square_bracket")
        assert str(user.app.screen.query_one(HeadMap).cursor) == "L1H1"
    assert read_view(Session.open("add1-1").step(1)) == kept


async def test_a_later_run_of_the_program_goes_on_with_the_view(live, tiny_folder):
    await swept_and_compared(live)
    with Session.open("add1-1", writable=True) as session:
        workspace = unmeasured()
        workspace.recall(session)
        app = WorkbenchApp(workspace, load_settings(model=str(tiny_folder), device="cpu"), session)
        async with driving(app) as user:
            await user.until(lambda: user.here == "neurons")
            assert user.table.filter_text == "L1"


async def test_a_read_only_workbench_keeps_no_views(live):
    await swept_and_compared(live, readonly=True)
    assert not list(Session.open("add1-1").folder.glob(f"*/{VIEW_FILE}"))


async def test_going_back_to_a_sweep_puts_its_marks_back(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("space", "z")
        await user.settled()
        await user.press("down", "space")
        assert user.text("#most").startswith(" marked  L0H0 L0H1")
        await user.press("z")
        assert user.text("#most").startswith(" marked  L0H0")
        assert "L0H1" not in user.text("#most")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"schema": 1, "view": 3}',
        b'{"schema": 99, "view": {}}',
        b'{"schema": 1, "view": {"cursor": ["L0H0"], "marked": {"a": 1}, "metric": []}}',
        b'{"schema": 1, "view": {"cursor": "L99H99", "marked": ["L99H0", "x", 5, null]}}',
        b'{"schema": 1, "view": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
    ids=["empty", "a list", "no view", "newer", "other types", "no such heads", "deep"],
)
async def test_a_view_that_does_not_fit_is_passed_over(document, replaying):
    folder = own_example()
    (folder / "001-heads" / VIEW_FILE).write_bytes(document)
    async with driving(replaying("mine")) as user:
        assert user.here == "heads"
        assert user.app.screen.metric == "logprob"
        assert user.text("#most").lstrip().startswith("most harm")


@pytest.mark.parametrize("view", [{"neurons": 5}, {"neurons": {"sort": ["a"], "filter": 7}}])
async def test_a_table_takes_from_a_view_only_what_fits(view, replaying):
    folder = own_example()
    document = {"schema": 1, "view": view}
    (folder / "002-cna" / VIEW_FILE).write_text(json.dumps(document))
    async with driving(replaying("mine")) as user:
        await user.press("right_square_bracket")
        assert user.here == "neurons"
        assert (user.table.filter_text, user.table.sorted_by) == ("", "importance_change")


async def test_the_node_of_a_chain_is_found_again(replaying):
    from recorded_chain import open_chain

    session = open_chain()
    result = session.step(1)
    graph = ChainGraph(result.step.ranked(result.rows()))
    name = next(name for name, node in graph.nodes.items() if node["part"] is not None)
    view = {"cursor": name, "marked": [name, "nothing"], "zeroed": True}
    document = {"schema": 1, "view": view}
    (result.folder / VIEW_FILE).write_text(json.dumps(document))
    async with driving(replaying(session.name)) as user:
        assert user.here == "chain"
        assert user.app.screen.query_one(ChainView).cursor == name
        assert user.text("#without").split() == ["marked", name]
