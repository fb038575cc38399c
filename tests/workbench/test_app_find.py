"""The list behind `:` finds everything there is, and goes there."""

from __future__ import annotations

from hands import Hands, hands
from textual.widgets import OptionList

from analysis.tasks.standard import TASKS
from screens.matching import best
from screens.messages import PromptsChosen, SessionChosen, StepChosen
from workbench.keymap import EVERYWHERE, actions
from workbench.roster import SCREENS
from workbench.settings import Settings

LABELS = {"1 Prompts", "2 Heads", "3 Neurons", "4 Tokens", "5 Chain", "6 Change"}
LABELS |= {"7 Sessions", "8 Paper", "A result by its shape"}


def lines(user: Hands) -> list[list[str]]:
    """What is listed: keys, words and place of each line."""
    listed = user.screen.query_one(OptionList).options
    texts = [each.prompt.plain for each in listed]
    return [[each[:13].strip(), *map(str.strip, each[13:].rsplit("  ", 1))] for each in texts]


async def found(user: Hands, search: str) -> list[list[str]]:
    await user.press("colon")
    await user.type(search)
    return lines(user)


def test_a_line_is_found_by_its_words_and_by_what_they_begin_with():
    listed = ["Sweep", "r  Sweep heads", "Its neurons", "cna  Compare", "Change", "a cna step"]
    assert best("", listed) == [*range(6)]
    assert best("sweep", listed) == [0, 1]
    assert best("heads sweep", listed) == [1]
    assert best("swhe", listed) == [1]
    assert best("cna", listed) == [3, 5]
    assert best("weep", listed) == [0, 1]
    assert best("xyz", listed) == []
    assert best("a" * 9 + "b", ["a " * 40]) == []  # at once


async def test_actions_of_every_screen_are_found_and_done_there(sessions_folder):
    async with hands((120, 40)) as user:
        await user.begin("tokens", replaying=False)
        await user.press("colon")
        listed = lines(user)
        places = {EVERYWHERE, *LABELS}
        words = {each.words for each in actions() if each.place in places}
        assert words - {"Open"} <= {each[1] for each in listed}
        assert ["m", "Metric", "2 Heads"] in listed
        await user.type("metric heads")
        await user.press("enter")
        await user.until(lambda: user.here == "heads")
        await user.until(lambda: user.screen.view()["metric"] == "accuracy")
        # What was done last is on top; what cannot be done now says why.
        assert (await found(user, ""))[0] == ["m", "Metric", "this screen"]
        await user.type("measure change")
        assert lines(user)[0] == ["e", "Measure", "6 Change"]
        await user.press("enter")
        await user.until(lambda: user.here == "change")
        await user.until(lambda: "Nothing is staged" in " ".join(user.app.told))


async def test_tasks_steps_sessions_settings_and_pages_are_found(sessions_folder):
    async with hands((100, 30)) as user:
        asked = user.messages
        await user.begin("heads", replaying=False)
        assert (await found(user, "mul1"))[0][0::2] == ["task", "1 Prompts"]
        await user.press("enter")
        await user.until(lambda: user.here == "prompts")
        assert [each.prompts.name for each in asked if isinstance(each, PromptsChosen)][
            -1
        ] == "mul1"
        step = user.workspace.results[1]
        assert (await found(user, "step 2 cna"))[0][0::2] == ["step 2", "3 Neurons"]
        await user.press("enter")
        assert [each.result_id for each in asked if isinstance(each, StepChosen)] == [step.id]
        assert (await found(user, "example:paper"))[0] == ["session", "example:paper", "replay"]
        await user.press("enter")
        assert [each.name for each in asked if isinstance(each, SessionChosen)] == ["example:paper"]
        await user.begin("heads", replaying=False)
        await found(user, "setting readonly")
        await user.press("enter")
        await user.until(lambda: user.here == "settings")
        assert user.table.current_key == "readonly"
        assert (await found(user, "tmux"))[0][0] == "help"
        await user.press("enter")
        assert user.here == "HelpPage"
        assert "tmux" in user.seen


async def test_what_is_not_there_says_what_was_looked_through(sessions_folder):
    async with hands((60, 16)) as user:
        await user.begin("heads", replaying=False)
        for search in ("xyzzy", "[red]"):
            await found(user, search)
            words = user.text(".nothing")
            assert words.startswith(f'nothing fits "{search}" among ')
            steps = len(user.workspace.results)
            for each in (f"{len(TASKS)} tasks", f"{steps} steps"):
                assert each in words
            assert f"{len(Settings.model_fields)} settings" in words
            assert "looked" not in words
            seen = " ".join(user.seen.replace("▌", " ").split())
            assert f"{len(Settings.model_fields)} settings" in seen
            await user.press("enter", "escape")
            assert user.here == "heads"


async def test_in_a_replay_only_what_works_there_is_listed(sessions_folder):
    async with hands((120, 40)) as user:
        await user.begin("heads", replaying=True)
        await user.press("colon")
        listed = lines(user)
        assert not [each for each in listed if each[2] == "form" or each[0] == "task"]
        labels = {"heads": "this screen", "prompts": "1 Prompts", "change": "6 Change"}
        for screen in SCREENS:
            place = labels.get(screen.NAME)
            words = {each[1] for each in listed if each[2] == place}
            for each in screen.BINDINGS if place else ():
                if each.action.partition("(")[0] in screen.LIVE:
                    assert each.description not in words
        assert ["b", "Top head", "this screen"] in listed
