"""What reads one case says which; C takes another, or all."""

from __future__ import annotations

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
