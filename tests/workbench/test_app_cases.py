"""What reads one case says which; C takes another, or all."""

from __future__ import annotations

from dataclasses import replace

from piloting import driving

from sessions import Session


async def test_c_takes_another_case_or_all(live):
    async with driving(live(), (160, 30)) as user:
        await user.settled()
        few = user.workspace.prompts
        user.workspace.prompts = few.model_copy(update={"prompts": few.prompts[:4]})
        await user.press("2", "r")
        await user.settled()
        await user.press("enter")
        await user.settled()
        assert "case 1 of 4: " in user.text("#title")
        assert "C another or all" in user.text("#title")
        await user.press("C")
        await user.type("5")
        await user.press("enter")
        assert "give a number from 1 to 4 or all" in user.seen
        await user.press("backspace")
        await user.type("3")
        await user.press("enter")
        await user.settled()
        assert "case 3 of 4: " in user.text("#title")
        assert user.result.step.prompt == user.workspace.prompts.prompts[2]
        await user.press("C")
        await user.type("all")
        await user.press("enter")
        await user.until(lambda: user.result.step.kind == "cna_cases")
        await user.until(lambda: user.result.state == "done")
        assert "mean over add1 · 4 prompts" in user.text("#title")
        assert "certified" in user.text("#title")
    kinds = [each.step.kind for each in Session.open("add1-1").steps]
    assert kinds == ["heads", "cna", "cna", "cna_each", "cna_each", "cna_cases"]


async def test_what_takes_more_than_a_minute_is_asked_before_with_its_cost(live):
    async with driving(live(), (100, 30)) as user:
        await user.settled()
        await user.press("r")
        await user.settled()
        (swept,) = user.workspace.results
        user.workspace.put(replace(swept, seconds=3_600.0))
        await user.press("z")
        assert "36 cases: about 1 h 00 min" in user.seen
        assert "The intact model answers 0 % of 36 cases right." in user.seen
        await user.press("escape")
        assert [each.id for each in user.workspace.results] == [swept.id]
        await user.press("z", "c")
        await user.type("x")
        await user.press("enter")
        assert "give a number from 1 to 36" in user.seen
        await user.press("backspace")
        await user.type("4")
        assert "4 cases: about 6 min 40 s" in user.seen
        await user.press("enter")
        await user.until(lambda: len(user.workspace.results) == 2)
        await user.settled()
        assert user.here == "heads"
        assert (user.result.step.mode, len(user.result.step.prompts)) == ("mean", 4)
