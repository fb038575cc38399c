"""Screen 5: the chain of a case, replayed and live, by keys alone."""

from __future__ import annotations

import pytest
import replays
from piloting import driving, rows_by_name
from recorded_chain import open_chain

from analysis.steps import AblateStep, ChainStep
from screens.widgets.chain_view import ChainView
from sessions import Session
from workbench.app import WorkbenchApp


@pytest.fixture
def replaying(tiny_folder) -> WorkbenchApp:
    """A workbench that replays a recorded chain."""
    return replays.replaying(open_chain(), model=str(tiny_folder))


def cursor(user) -> str:
    return user.app.screen.query_one(ChainView).cursor


async def test_a_chain_is_drawn_with_the_head_under_the_cursor(replaying):
    async with driving(replaying) as user:
        assert user.here == "chain"
        assert cursor(user) == "L20H8"
        seen = user.seen
        for words in ("feature enhancing", "transferring", "predicting", "prediction enhancing"):
            assert words in seen
        names = user.result.rows["name"].to_list()
        assert all(name in seen for name in names if name != "answer")
        assert '▶ "8"' in seen
        assert 'p("8") 0.992 → 0.822' in user.text("#node")
        assert user.text("#title").startswith(" chain of L20H8")


async def test_left_and_right_follow_the_strongest_edge(replaying):
    async with driving(replaying) as user:
        await user.press("right")
        assert cursor(user) == "L23N761"
        await user.press("l")
        assert cursor(user) == "L24N1493"
        await user.press("right")
        assert cursor(user) == "answer"
        await user.press("right")
        assert cursor(user) == "answer"
        await user.press("h", "left", "left", "left")
        assert cursor(user) == "L14N428@16"
        await user.press("left")
        assert cursor(user) == "L14N428@16"


async def test_up_and_down_stay_in_the_stage(replaying):
    async with driving(replaying) as user:
        await user.press("left", "j")
        assert cursor(user) == "L0N28@16"
        await user.press("k", "up")
        assert cursor(user) == "L8N764@17"
        await user.press("G")
        assert cursor(user) == "L11N1229@0"
        await user.press("down")
        assert cursor(user) == "L11N1229@0"
        await user.press("g")
        assert cursor(user) == "L8N1191@20"
        await user.press("right")
        assert cursor(user) == "L10"
        await user.press("down")
        assert cursor(user) == "L13"


async def test_the_reading_says_what_a_node_is_before_and_behind_attention(replaying):
    async with driving(replaying) as user:
        await user.press("left", "down", "down")
        row = rows_by_name(user.result.rows)["L19N1156@16"]
        text = user.text("#node")
        assert text.startswith(' L19N1156@16  shallow neuron at "3" · coefficient 2.12')
        assert "adds +0.515 to L23N761" in text
        assert f'says       "{row["tokens"][0]}"' in text
        assert f'via L20H8  "{row["tokens_through"][0]}"' in text
        assert "feeds      L20H8 +0.52" in text


async def test_z_shows_the_answer_without_the_node_under_the_cursor(replaying):
    async with driving(replaying) as user:
        assert "→ 0" not in drawing(user)
        await user.press("z")
        assert "→ 0.822" in drawing(user)
        await user.press("right")
        assert "→ 0.428" in drawing(user)
        await user.press("z")
        assert "→ 0" not in drawing(user)


def drawing(user) -> str:
    view = user.app.screen.query_one(ChainView)
    return "\n".join(view.render_line(y).text for y in range(view.size.height))


async def test_rows_are_copied(replaying):
    async with driving(replaying) as user:
        await user.press("y")
        await user.until(lambda: user.notices)
        header, row = user.app.clipboard.splitlines()
        assert header.split("\t")[:3] == ["name", "stage", "part"]
        assert row.startswith("L20H8\t3\tL20H8\t20")
        await user.press("Y")
        await user.until(lambda: len(user.app.clipboard.splitlines()) == 21)


async def test_a_replay_steps_from_one_chain_to_another_and_runs_nothing(replaying):
    async with driving(replaying) as user:
        await user.press("right_square_bracket")
        assert cursor(user) == "L13H4"
        assert user.text("#title").startswith(" chain of L13H4")  # found by itself
        await user.press("r")
        assert user.notices[-1] == "This is a replay. Press c to continue it live."
        await user.press("enter")
        assert user.notices[-1].endswith(
            "It needs the model: c goes on live, as workbench --session chain does."
        )
        assert user.workspace.running is None


async def test_wide_terminals_show_what_a_node_says(replaying):
    async with driving(replaying, (120, 36)) as user:
        row = rows_by_name(user.result.rows)["L19N1156@16"]
        assert f'L19N1156@16 3    "{row["tokens_through"][0]}"' in drawing(user)


async def test_an_empty_screen_says_what_starts_it(live):
    async with driving(live()) as user:
        await user.press("5")
        assert "Press r to find the chain of this case" in user.text("#empty")


async def test_r_finds_the_chain_of_the_case_and_it_is_on_disk(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("5", "r")
        await user.settled()
        assert user.here == "chain"
        assert user.result.step == ChainStep(prompt=user.workspace.prompt)
        assert user.result.state == "done"
        recorded = Session.open(user.workspace.session.name).step(1)
        assert recorded.rows()["name"].to_list() == user.result.rows["name"].to_list()
        assert cursor(user) == user.result.baseline["head"]
        assert "waiting" not in user.text("#node")


async def test_after_a_sweep_the_chain_leads_through_its_top_head(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        swept = user.result.step.ranked(user.result.rows)
        top = next(row["name"] for row in swept.to_dicts() if row["layer"] > 0)
        await user.press("5", "r")
        await user.settled()
        assert str(user.result.step.head) == top


async def test_f_on_the_heat_map_leads_to_the_chain_of_the_head_under_the_cursor(live):
    async with driving(live()) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        await user.press("f")
        assert user.here == "heads"
        assert user.notices[-1].startswith("Nothing feeds a head of the first layer")
        await user.press("right", "down", "f")
        assert user.here == "chain"
        await user.settled()
        assert str(user.result.step.head) == "L1H1"


@pytest.fixture
def with_chain(live):
    """A workbench that shows the chain of L1H1 for the first prompt."""

    async def prepare(user):
        await user.settled()
        await user.press("2", "r")
        await user.settled()
        await user.press("right", "down", "f")
        await user.settled()
        assert user.here == "chain"

    return live(), prepare


async def test_marked_nodes_are_zeroed_together_on_this_screen(with_chain):
    app, prepare = with_chain
    async with driving(app) as user:
        await prepare(user)
        await user.press("a")
        assert user.notices[-1].startswith("Mark nodes with space first")
        await user.press("space", "right", "space")
        marked = sorted(["L1H1", cursor(user)])
        assert " ".join(marked) in user.text("#without")
        assert drawing(user).count("●") == 2
        await user.press("a")
        await user.settled()
        assert user.here == "chain"
        ablation = user.workspace.results[-1]
        assert isinstance(ablation.step, AblateStep)
        assert ablation.step.prompts.prompts == (user.workspace.prompt,)
        assert sorted(ablation.step.sets[0].names.split(",")) == marked
        assert f"→ {ablation.rows['prob'][0]:.3f}" in user.text("#without")
        await user.press("space")
        assert drawing(user).count("●") == 1


async def test_words_and_the_answer_cannot_be_marked(with_chain):
    app, prepare = with_chain
    async with driving(app) as user:
        await prepare(user)
        user.app.screen.query_one(ChainView).cursor = "answer"
        await user.press("space")
        assert user.notices[-1].startswith("Words and the answer cannot be zeroed")
        assert drawing(user).count("●") == 0


async def test_enter_leads_to_the_tokens_of_any_node(with_chain):
    app, prepare = with_chain
    async with driving(app) as user:
        await prepare(user)
        chain = user.result
        expected = {row["stage"]: row for row in chain.rows.to_dicts()}
        for stage, row in expected.items():
            user.app.screen.query_one(ChainView).cursor = row["name"]
            await user.press("enter")
            assert user.here == "tokens"
            await user.settled()
            step = user.result.step
            assert step.prompt == chain.step.prompt
            assert step.through == row["through"]
            if step.reading == "specific":  # neurons of a tied model; chains have the paper's
                await user.press("m")
                await user.settled()
            top = user.result.rows.filter(end="top")["token"][0]
            if stage in (3, 4, 5, 2):
                assert top == row["tokens"][0]
            elif row["part"] is not None and row["position"] == chain.rows["position"].max():
                assert top == row["tokens_through"][0]
            await user.press("escape")
            assert user.here == "chain"


async def test_a_stopped_chain_goes_on_with_r(live, monkeypatch):
    import analysis.methods.chain
    from analysis.errors import Cancelled

    plain = analysis.methods.chain.ablated
    calls = []

    def until_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Cancelled("stopped")
        return plain(*arguments)

    monkeypatch.setattr(analysis.methods.chain, "ablated", until_the_third)
    async with driving(live()) as user:
        await user.settled()
        await user.press("5", "r")
        await user.settled()
        assert user.result.state == "stopped"
        assert user.result.rows.height == 3  # two nodes and a word, which nothing ablates
        assert "not measured" in user.text("#node")
        assert user.result.baseline["root"] in drawing(user)  # the whole chain is there
        await user.press("r")
        await user.until(lambda: user.result.state == "done")
        assert len(user.workspace.results) == 1
        assert user.result.rows.height == user.result.expected
