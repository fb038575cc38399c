"""Keys of the user's own: they work, and what does not fit is named."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from analysis.errors import InputError
from analysis.tasks.standard import task
from screens.workspace import Workspace
from sessions import Session
from workbench.app import WorkbenchApp
from workbench.keymap import actions, keymap


def test_every_action_has_one_name_in_its_place_and_words():
    found = actions()
    assert [name for name, count in Counter(each.id for each in found).items() if count > 1] == []
    assert all(each.words for each in found)
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9-]+", each.id) for each in found)


async def test_an_action_is_done_by_the_key_it_was_given_and_no_longer_by_its_own():
    workspace = Workspace(task("add1", shots=2))
    workspace.replay(Session.open("example:addition"))
    app = WorkbenchApp(workspace, None)
    app.set_keymap(keymap({"app.sessions": "f7,ctrl+o", "replay.next-step": "n"}))
    async with app.run_test() as pilot:
        await pilot.press("7")
        assert app.screen.name == "heads"
        await pilot.press("n")
        assert workspace.replay_place == 1
        await pilot.press("ctrl+o")
        assert app.screen.name == "sessions"
        await pilot.press("escape", "f7")
        assert app.screen.name == "sessions"


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"heads.sweeep": "R"}, r"no action 'heads.sweeep'; heads.sweep"),
        ({"heads.sweep": ""}, "'' is no key"),
        ({"heads.sweep": "hyper+x"}, "'hyper\\+x' is no key"),
        ({"heads.sweep": "m"}, "m would mean both heads.sweep and heads.metric"),
        ({"heads.sweep": "7"}, "7 would mean both heads.sweep and app.sessions"),
        ({"app.keys": "a"}, "a would mean both app.keys and "),
    ],
)
def test_what_does_not_fit_is_one_clear_line(chosen, words):
    with pytest.raises(InputError, match=words):
        keymap(chosen)


def test_two_actions_may_change_places():
    chosen = {"heads.sweep": "m", "heads.metric": "r"}
    assert keymap(chosen) == chosen
