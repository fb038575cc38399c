"""Keys of the user's own: they work, and what does not fit is named."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from replays import replaying
from textual.binding import Binding

from analysis.errors import InputError
from screens.keys import shipped
from workbench.keymap import actions, keymap

ACTION_IDS = Path(__file__).parents[1] / "support" / "action_ids.txt"
"""The names of all actions, as the program has shipped them, in the order of docs/keys.md."""


def test_every_action_has_one_name_in_its_place_and_words():
    found = actions()
    assert [name for name, count in Counter(each.id for each in found).items() if count > 1] == []
    assert all(each.words for each in found)
    assert all(re.fullmatch(r"[a-z]+\.[a-z0-9-]+", each.id) for each in found)


def test_the_names_of_actions_are_those_that_settings_files_hold():
    """Words of their own: whoever words a label anew leaves the name; a new action is added."""
    assert [each.id for each in actions()] == ACTION_IDS.read_text("utf-8").split()


def test_a_label_that_is_worded_anew_changes_no_name():
    ids = {
        each.id
        for label in ("Sweep", "Sweep every head")
        for each in Binding.make_bindings(shipped([Binding("r", "run", label, id="test.sweep")]))
    }
    assert ids == {"test.sweep"}


async def test_an_action_is_done_by_the_key_it_was_given_and_no_longer_by_its_own():
    app = replaying()
    app.set_keymap(keymap({"app.sessions": "f7,ctrl+o", "replay.next-step": "n"}))
    async with app.run_test() as pilot:
        await pilot.press("7")
        assert app.screen.name == "heads"
        await pilot.press("n")
        assert app.workspace.replay_place == 1
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
