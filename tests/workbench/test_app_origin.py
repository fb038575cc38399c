"""Where one came from and why a thing is here stands under the title, live and in a replay."""

from __future__ import annotations

import pytest
from piloting import driving
from replays import replaying


def told(user) -> list[str]:
    return user.text("#origin").strip().split(" · ")


@pytest.mark.parametrize(
    ("session", "at", "words"),
    [
        ("addition", "002-cna", "← sweep of add1 · rank 1 of 270 · change −2.134"),
        (
            "addition",
            "003-project",
            "← CNA of L20H8 · rank 1 of 100 · importance 0.263 → −0.139 · coefficient 11.39",
        ),
        ("paper", "022-cna", "← sweep of add1 · rank 89 of 270 · change −0.018"),
        ("paper", "027-chain", "← sweep of add1 · rank 1 of 270 · change −2.134"),
        ("paper", "051-evaluate", "← pairs · L29N778 rank 1 of 100"),
    ],
)
async def test_a_replay_finds_the_step_that_a_result_came_from(session, at, words):
    async with driving(replaying(f"example:{session}", at=at)) as user:
        assert user.text("#origin").strip().startswith(words)
        assert words in user.seen
        await user.press("V")
        assert user.text("#origin").strip().startswith(f"step {at}")


async def test_where_nothing_is_known_there_is_no_line():
    async with driving(replaying(at="001-heads")) as user:
        assert not user.app.screen.query_one("#origin").display
        assert "←" not in user.seen


async def test_facts_that_do_not_fit_are_left_out_whole():
    async with driving(replaying(at="003-project"), (60, 20)) as user:
        whole = told(user)
        await user.pilot.resize_terminal(100, 20)
        await user.until(lambda: len(told(user)) > len(whole))
        assert told(user)[: len(whole)] == whole
        assert "case 21 of 36" in told(user)


async def test_live_the_origin_is_what_was_in_front(live):
    async with driving(live(), (120, 30)) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        sweep = user.result
        await user.press("b", "enter")
        await user.settled()
        first = user.result.step.contrast[0].heads[0]
        names = sweep.step.ranked(sweep.rows)["name"].to_list()
        change = sweep.rows.filter(name=str(first))["logprob"][0] - sweep.baseline["logprob"]
        rank = f"rank {names.index(str(first)) + 1} of {len(names)}"
        assert told(user)[:2] == ["← sweep of add1", rank]
        assert f"{abs(change):.3f}" in told(user)[2]
        neuron = user.table.current_key
        await user.press("2", "b", "enter")  # the second head
        await user.settled()
        second = user.result.step.contrast[0].heads[0]
        assert second != first
        assert user.table.move_to(neuron)  # there are few, so both rankings have it
        for screen, head in (("3", second), ("2", first)):
            await user.press(screen)
            if screen == "2":
                user.app.screen.map.move_to(head)
                await user.press("enter")
                assert user.table.move_to(neuron)
            await user.press("enter")
            await user.settled()
            assert told(user)[0] == f"← CNA of {head}"
